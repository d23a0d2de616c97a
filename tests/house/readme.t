#!/usr/bin/perl
# The commands that the README and the pages beside it show: every sgaps-TOOL in them is a tool, and every option and key that
# it is given is one that it takes.
use strict;
use warnings;

my $root = $ENV{SGAPS_ROOT} // '.';
my $bin  = $ENV{SGAPS_BIN}  // "$root/bin";
chdir $root or die;
my ($n, $failed) = (0, 0);

sub report {
    my ($good, $name, @why) = @_;
    $n++;
    $failed++ unless $good;
    print $good ? 'ok' : 'not ok', " $n - $name\n";
    print "# $_\n" for @why;
}

my %options;    # tool -> its options, long and short
sub takes {
    my ($tool, $option) = @_;
    return 0 unless -x "$bin/$tool";
    if (!$options{$tool}) {
        for (split /\n/, `$bin/$tool --list-options`) {
            my ($short, $long) = split /\t/;
            $options{$tool}{"-$short"} = 1 if $short;
            $options{$tool}{"--$long"} = 1 if $long;
        }
    }
    return $options{$tool}{$option};
}

# The lines of a page that are code: indented by four, or between fences; continued ones as one.
sub code_of {
    my ($page) = @_;
    open my $in, '<', $page or die "$page: $!";
    my ($fenced, $text) = (0, '');
    while (<$in>) {
        if (/^```/) { $fenced = !$fenced; next }
        $text .= $_ if $fenced || /^    \S/;
    }
    return split /\n/, $text =~ s/\\\n\s*/ /gr;
}

open my $manual, '<', 'man/sgaps-config.5' or die;
my $keys = join '', <$manual>;
my ($commands, $settings) = (0, 0);
for my $page (grep { !/SPEED/ } split /\n/, `git ls-files '*.md' 2>/dev/null || find . -name '*.md'`) {
    my @wrong;
    for my $line (code_of($page)) {
        $line =~ s/(^|\s)#\s.*//;
        for my $command (split /[|;&()]+/, $line =~ s/'[^']*'/my $q = $&; $q =~ tr{|;&()'}{}d; $q/ger) {
            my ($tool, $rest) = $command =~ /(?:^|[\s\/])(sgaps-(?!track|cuda)[a-z]+)(\s.*)?$/ or next;
            $commands++;
            push @wrong, "no tool: $tool" unless -x "$bin/$tool";
            $rest //= '';
            push @wrong, "$tool takes no $_: $line" for grep { !takes($tool, $_) } $rest =~ /(?<=\s)(--?[a-z][a-z-]*)/g;
            for my $key ($rest =~ /--set\s+'?([a-z_.]+)=/g) {
                $settings++;
                push @wrong, "sgaps-config(5) has no $key: $line" unless $key =~ /^[a-z]+$/ || $keys =~ /\b\Q$key\E\b/;
            }
        }
    }
    report(!@wrong, "$page: its commands are those of the tools", @wrong);
}
report($commands > 12 && $settings > 1, "$commands commands and $settings settings were seen");
print "1..$n\n";
exit !!$failed;
