#!/usr/bin/perl
# Every tool has a page whose options are those of --help, both ways. Of every page, those of formats and the overview
# too: mandoc finds nothing to say about it; it refers to pages that are there; and each line of its EXAMPLES runs, as
# mandoc shows it, in a directory with the files that the pages speak of (tests/support/fixture.sh).
use strict;
use warnings;
use File::Temp qw(tempdir);

my $root = $ENV{SGAPS_ROOT} // '.';
my $bin  = $ENV{SGAPS_BIN}  // "$root/bin";
chdir $root or die;
$ENV{PATH} = "$bin:$ENV{PATH}";
my ($n, $failed) = (0, 0);

sub report {
    my ($good, $name, @why) = @_;
    $n++;
    $failed++ unless $good;
    print $good ? 'ok' : 'not ok', " $n - $name\n";
    print "# $_\n" for @why;
    return $good;
}

my @tools = map { m{cmd/([^/]+)/} } sort glob 'cmd/*/main.c';
report(scalar @tools, 'there are tools');
my $dir = tempdir(CLEANUP => 1);
my $log = `sh tests/support/fixture.sh '$dir' 2>&1`;
report($? == 0, 'the files of the examples are made', $? ? split(/\n/, $log) : ());

sub page_lines {
    my ($page) = @_;
    open my $in, '<', $page or return;
    my @lines = <$in>;
    chomp @lines;
    return @lines;
}

sub lint_page {
    my ($page, @lines) = @_;
    my @lint = split /\n/, `mandoc -Tlint -W warning $page 2>&1`;
    report(!@lint, "$page: mandoc -Tlint", @lint);
    my @lost = grep { /^(sgaps\S*) (\d)/ && !-e "man/$1.$2" } map { /^\.Xr (.*)/ ? $1 : () } @lines;
    report(!@lost, "$page: refers to pages that are there", @lost);
}

# As a reader sees them: what the page's quoting loses is lost here too.
sub run_examples {
    my ($page) = @_;
    my ($on, @examples) = (0);
    for (split /\n/, `mandoc -Tutf8 -O width=500 $page` =~ s/.\x08//gr) {
        $on = /^EXAMPLES/ if /^\S/;
        push @examples, $1 if $on && /^ +\$ (.*)/;
    }
    report(scalar @examples, "$page: has examples");
    for my $line (@examples) {
        my $said = `cd '$dir' && ( $line ) </dev/null 2>&1`;
        my $code = $? >> 8;
        report($code == 0, "$page: \$ $line", $code ? ("exit $code", grep { defined } (split /\n/, $said)[0 .. 5]) : ());
    }
}

for my $tool (@tools) {
    my $page  = "man/sgaps-$tool.1";
    my @lines = page_lines($page);
    report(scalar @lines, "$page exists") or next;
    lint_page($page, @lines);

    my %table = map { $_ => 1 } map { (split /\t/)[1] } grep { /\t/ } split /\n/, `sgaps-$tool --list-options`;
    my %page;
    for (@lines) {
        next unless /^\.It\b/;
        $page{$1} = 1 while /Fl\s+Fl\s+([a-z][a-z0-9-]*)/g;
    }
    my @missing = grep { !$page{$_} } sort keys %table;
    my @unknown = grep { !$table{$_} } sort keys %page;
    report(%table && !@missing && !@unknown, "$page: its options are those of the table",
        (map { "--$_ is not on the page" } @missing), (map { "--$_ is not in the table" } @unknown));
    my $help = `sgaps-$tool --help`;
    my @unsaid = grep { $help !~ /--\Q$_\E\b/ } sort keys %table;
    report(!@unsaid, "sgaps-$tool --help names them all", map { "--$_" } @unsaid);

    run_examples($page);
}

for my $page (sort glob 'man/*.[57]') {
    my @lines = page_lines($page);
    lint_page($page, @lines);
    run_examples($page);
}
print "1..$n\n";
exit !!$failed;
