#!/usr/bin/perl
# Holds the include lines of lib/ against mk/law.txt: which room may include which, and where an outside header may stand.
use strict;
use warnings;

chdir($ENV{SGAPS_ROOT} // '.') or die;
my (%may, %where);
open my $law, '<', 'mk/law.txt' or die "mk/law.txt: $!";
while (<$law>) {
    next if /^#|^\s*$/;
    my ($kind, $name, @rooms) = split;
    if    ($kind eq 'room')   { $may{$name}   = { map { $_ => 1 } @rooms, $name } }
    elsif ($kind eq 'header') { $where{$name} = { map { $_ => 1 } @rooms } }
    else                      { die "mk/law.txt:$.: $kind" }
}
my @files = grep { /\.(c|h|cu|cuh)$/ } split /\n/, `find lib cmd -type f | LC_ALL=C sort`;
my @faults;
my $lines = 0;
for my $file (@files) {
    my $room = $file =~ m{^lib/([^/]+)/} ? $1 : undef;
    push @faults, "$file: the room '$room' has no line in mk/law.txt" if $room && !$may{$room};
    open my $in, '<', $file or die "$file: $!";
    while (<$in>) {
        next unless /^\s*#\s*include\s*([<"])([^>"]+)[>"]/;
        my ($quote, $header) = ($1, $2);
        $lines++;
        if ($quote eq '"' && $header =~ m{^([a-z]+)/} && $room && $may{$room} && !$may{$room}{$1}) {
            push @faults, "$file:$.: the room $room may not include $header";
        }
        my $name = $header =~ s{.*/(?=(hdf5|png|cJSON|dnnl|libfyaml)\.h)}{}r;
        my $rooms = $where{$header} // $where{$name} or next;
        my $allowed = $room && grep { "$file" =~ m{^lib/\Q$_\E/} } keys %$rooms;
        push @faults, "$file:$.: <$header> may only stand in lib/{" . join(',', sort keys %$rooms) . '}' unless $allowed;
    }
}
print "1..4\n";
print @files && $lines > 50 ? "ok" : "not ok", " 1 - ", scalar(@files), " files with $lines include lines are read\n";
print @faults ? "not ok" : "ok", " 2 - the dependency law holds\n";
print "# $_\n" for @faults;

# A name says where a thing lives, so no two sources share one.
my %seen;
push @{ $seen{ $_ =~ s{.*/}{}r } }, $_ for grep { m{^lib/} } @files;
my @twice = map { "@{$seen{$_}}" } grep { @{ $seen{$_} } > 1 } sort keys %seen;
print @twice ? "not ok" : "ok", " 3 - file names are unique in lib/\n";
print "# $_\n" for @twice;

# The kernels are also built for the CPU: what that cannot read has one place.
my @foreign = split /\n/, `grep -nE '\\basm\\b|<<<|extern __shared__' \$(find lib/op/cuda -type f ! -name ptx.cuh)`;
@foreign = grep { !m{:\s*(/?\*|//)} } @foreign;
print @foreign ? "not ok" : "ok", " 4 - assembly and what only nvcc reads stand in lib/op/cuda/ptx.cuh\n";
print "# $_\n" for @foreign;
