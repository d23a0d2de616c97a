#!/usr/bin/perl
# doc/tour.md and the README, held against the code: every path in them is there, and in a table row of the tour
# the names behind a path are found in that file.
use strict;
use warnings;

chdir($ENV{SGAPS_ROOT} // '.') or die;
my $n = 0;
sub report {
    my ($good, $name, @why) = @_;
    $n++;
    print $good ? 'ok' : 'not ok', " $n - $name\n";
    print "# $_\n" for @why;
}

sub slurp {
    my ($path) = @_;
    open my $f, '<', $path or return '';
    local $/;
    return scalar <$f>;
}

# What looks like a path of the tree: one that begins with a folder of it, or a file at its root.
sub paths {
    return grep { m{^(lib|cmd|mk|man|tests|examples|doc|share|contrib|debian)/} && !/FOLDER|[*<>{]/ } @_;
}

my $tour  = slurp('doc/tour.md');
my @found = paths($tour =~ /`([^`\s]+)`/g);
report(@found > 50, scalar(@found) . ' paths in the tour');
my @lost = grep { !-e } @found;
report(!@lost, 'every one is there', @lost);

my (@missing, $rows, $names);
for my $row (grep { /^\| `/ } split /\n/, $tour) {
    my (undef, $where, $what) = split / *\| */, $row;
    my ($file) = $where =~ /`([^`]+)`/;
    my $text = slurp($file);
    $rows++;
    for my $name ($what =~ /`([^`\s]+)`/g) {
        next if paths($name) || $name =~ /^(training|sampling)\./;
        $names++;
        push @missing, "$file: $name" if index($text, $name) < 0;
    }
}
report($rows > 20 && $names > 20, "$rows rows with $names names");
report(!@missing, 'which are in the files that they are said to be in', @missing);

my $readme = slurp('README.md');
my @links  = grep { !/^https?:/ } ($readme =~ /\]\(([^)#]+)\)/g, paths($readme =~ /`([^`\s]+)`/g));
report(@links > 3 && !(grep { !-e } @links), 'the links and paths of the README', grep { !-e } @links);

my %rooms = map { m{^lib/(\w+)/} ? ($1 => 1) : () } glob 'lib/*/';
my @unnamed = grep { $tour !~ m{lib/$_\b} } sort keys %rooms;
report(!@unnamed, 'every room is on the way', @unnamed);

# sgaps(7) and the README's table name every tool.
my @tools = map { m{cmd/([^/]+)/} } glob 'cmd/*/main.c';
my $overview = slurp('man/sgaps.7');
my @pages = map { m{man/(.*)\.(\d)$} } glob 'man/*';
my @left;
while (my ($page, $section) = splice @pages, 0, 2) {
    push @left, "sgaps(7) does not name $page($section)" if $page ne 'sgaps' && $overview !~ /^\.Xr \Q$page\E $section\b/m;
}
push @left, map { "the README does not name sgaps-$_" } grep { $readme !~ /^\| `sgaps-$_`/m } @tools;
report(!@left, 'sgaps(7) names every page, the README every tool', @left);
print "1..$n\n";
