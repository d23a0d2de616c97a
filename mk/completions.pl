#!/usr/bin/perl
# completions.pl BIN OUT TOOL...: completions of the tools for bash, zsh and fish, from their option tables
# (--list-options), the choices in their usage, and the keys of sgaps-config(5), which a test holds against the program.
# Writes OUT/bash/sgaps-TOOL, OUT/fish/sgaps-TOOL.fish and OUT/zsh/_sgaps.
use strict;
use warnings;

my ($bin, $out, @tools) = @ARGV;
die "usage: completions.pl BIN OUT TOOL...\n" unless @tools;

# What an argument is: words to choose from, a kind of file, or something only the user knows.
sub kind_of {
    my ($option, $argument, @presets) = @_;
    return { set => 1 } if $argument eq 'KEY=VALUE';
    if ($argument =~ /\|/) {
        my @parts = split /\|/, $argument =~ s/\[[^\]]*\]//gr;    # cuda[:N]
        my @words = map { $_ eq 'PRESET' ? @presets : /^[a-z]/ ? $_ : () } @parts;
        return { words => \@words, (grep { $_ eq 'CKPT' } @parts) ? (endings => ['h5']) : () };
    }
    return { endings => [qw(yaml yml)] } if $option eq 'config';
    return { endings => [ lc $1 ] } if $argument =~ /^FILE\.(\w+)$/;
    return { endings => ['h5'] } if $argument eq 'CKPT';
    return { files   => 1 } if $argument =~ /^(FILE|OUT)$/;
    return { folders => 1 } if $argument eq 'DIR';
    return {};
}

sub tool {
    my ($name, @keys) = @_;
    my @presets = map { /^model=(\S+)/ ? $1 : () } @keys;
    my $program = "$bin/sgaps-$name";
    my %t = (name => "sgaps-$name", function => "_sgaps_$name", options => []);
    open my $list, '-|', $program, '--list-options' or die "$program: $!\n";
    while (<$list>) {
        chomp;
        my ($letter, $long, $argument, $help) = split /\t/, $_, 4;
        my $optional = $argument =~ s/^\[=(.*)\]$/$1/;
        my %o = (letter => $letter eq '-' ? '' : $letter, long => $long, help => $help, optional => $optional);
        $o{argument} = $argument if $argument ne '-';
        $o{kind} = defined $o{argument} ? kind_of($long, $argument, @presets) : {};
        push @{ $t{options} }, \%o;
    }
    close $list or die "$program --list-options: failed\n";
    die "$program: no options\n" unless @{ $t{options} };
    my $help = `'$program' --help`;
    $t{operands} = [split /\|/, $1] if $help =~ /^Usage: \S+\s+\[([a-z0-9]+(?:\|[a-z0-9]+)+)\]/m;
    return \%t;
}

# The keys of the configuration: "group.key=" and, where the values are words, "group.key=word"; and the presets.
sub keys_of_manual {
    my @found;
    open my $page, '<', 'man/sgaps-config.5' or die "man/sgaps-config.5: $!\n";
    my $text = do { local $/; <$page> };
    while ($text =~ /^\.Ss (\w+)\n(.*?)(?=^\.S[sh] )/gms) {
        my ($group, $body) = ($1, $2);
        my ($head) = $body =~ /^(.*?)^\.Bl/ms;
        push @found, map { "$group=$_" } $head =~ /^\.Cm (\S+)/gm if ($head // '') =~ /Presets/;
        while ($body =~ /^\.It Va (\S+)\n(.*?)(?=^\.(?:It|El))/gms) {
            my ($key, $about) = ($1, $2);
            my ($values) = $about =~ s/\n/ /gr =~ /Values: (.*?)\. Default:/ or die "$key has no values\n";
            my @words = $values !~ /^map of/ && $values =~ /(\S+\|\S+)/ ? grep { /^[a-z]/ } split /\|/, $1 : ();
            unshift @words, 'auto' if $values =~ /^auto,/;
            push @found, @words ? map { "$key=$_" } @words : "$key=";
        }
    }
    die "man/sgaps-config.5: no keys\n" unless @found > 20;
    return @found;
}

sub single { return "'" . ($_[0] =~ s/'/'\\''/gr) . "'" }

sub put {
    my ($path, $text) = @_;
    open my $f, '>', $path or die "$path: $!\n";
    print $f $text;
    close $f or die "$path: $!\n";
}

# --- bash ---

# What every file ends with: words and files become answers. Readline takes words apart at '=' as well, so an answer
# holds only what stands behind the last one.
my $bash_reply = <<'END';
_sgaps_reply()
{
    local ending
    compopt +o default 2>/dev/null
    COMPREPLY=()
    case $files in
    '') ;;
    any) compopt -o default 2>/dev/null ;;
    folders) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$current") ;;
    *)
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -d -- "$current"
            for ending in $files; do compgen -f -X "!*.$ending" -- "$current"; done)
        ;;
    esac
    [[ $words ]] || return 0
    mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W "$words" -- "$current")
    [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    if [[ $current == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${COMPREPLY[@]#"${current%=*}="}")
    fi
}
END

sub bash {
    my ($t, @keys) = @_;
    my (@all, @cases, @own);    # own: values that only the user knows
    for my $o (@{ $t->{options} }) {
        push @all, "--$o->{long}" . (defined $o->{argument} && !$o->{optional} ? '=' : '');
        next unless defined $o->{argument};
        my $k = $o->{kind};
        my $do =
            $k->{set}     ? 'words=' . single("@keys")
          : $k->{files}   ? 'files=any'
          : $k->{folders} ? 'files=folders'
          :                 join ' ', map { $k->{$_} ? ($_ eq 'words' ? $_ : 'files') . '=' . single("@{$k->{$_}}") : () } qw(words endings);
        my @names = "--$o->{long}=";
        push @names, "--$o->{long}" unless $o->{optional};
        push @names, "-$o->{letter}" if $o->{letter} && !$o->{optional};
        $do ? push @cases, '    ' . join(' | ', @names) . ") $do ;;\n" : push @own, @names;
    }
    my $operands = $t->{operands} ? "words=" . single("@{$t->{operands}}") : 'files=any';
    my $options = single("@all");
    return <<"END";
# Completion of $t->{name} for bash, written by mk/completions.pl from its option table.
$t->{function}()
{
    local line=\${COMP_LINE:0:COMP_POINT} list option current words= files=
    read -ra list <<<"\$line"
    [[ \$line == *[[:space:]] ]] && list+=('')
    current=\${list[-1]} option=\${list[-2]}
    if [[ \$current == --*=* ]]; then
        option=\${current%%=*}= current=\${current#*=}
    elif [[ \$current == -* ]]; then
        option=-
    fi
    case \$option in
    -) words=$options ;;
@{[join '', @cases]}    @{[join ' | ', @own]}) ;;
    *) $operands ;;
    esac
    _sgaps_reply
}
$bash_reply
complete -o default -F $t->{function} $t->{name}
END
}

# --- zsh ---

sub zsh_action {
    my ($k) = @_;
    return '_sgaps_keys' if $k->{set};
    return "_sgaps_words_or_files % $k->{endings}[0] @{$k->{words}}" if $k->{words} && $k->{endings};
    return "(@{$k->{words}})" if $k->{words};
    return '_files -g "*.(' . join('|', @{ $k->{endings} }) . ')(-.)"' if $k->{endings};
    return $k->{files} ? '_files' : $k->{folders} ? '_files -/' : ' ';
}

sub zsh_option {
    my ($o) = @_;
    my $help = $o->{help} =~ s/([\[\]\\])/\\$1/gr;
    my $tail = "[$help]";
    my $long = "--$o->{long}";
    if (defined $o->{argument}) {
        my $message = $o->{argument} =~ s/:/\\:/gr;
        $tail .= ($o->{optional} ? '::' : ':') . "$message:" . zsh_action($o->{kind});
        $long .= $o->{optional} ? '=-' : '=';
    }
    return single("*$long$tail") unless $o->{letter};
    my $short = "-$o->{letter}" . (defined $o->{argument} ? '+' : '');
    return "'*'{$short,$long}" . single($tail);
}

sub zsh {
    my ($tools, @keys) = @_;
    my $names = join ' ', map { $_->{name} } @$tools;
    my $text = <<"END";
#compdef $names
# Completion of the SGAPS tools for zsh, written by mk/completions.pl from their option tables.

_sgaps_keys() {
    local -a keys=(
@{[join '', map { '        ' . single($_) . "\n" } @keys]}    )
    compadd "\$@" -S '' -a keys
}

# ... % ENDING WORD...: the words, and files of that ending
_sgaps_words_or_files() {
    local at=\$argv[(i)%]
    local -a words=(\$argv[at+2,-1])
    compadd -a words
    _files -g "*.\$argv[at+1](-.)"
}

END
    $text .= "case \$service in\n";
    for my $t (@$tools) {
        $text .= "$t->{name})\n    _arguments -s -S \\\n";
        $text .= "        " . zsh_option($_) . " \\\n" for @{ $t->{options} };
        my $rest = $t->{operands} ? "(@{$t->{operands}})" : '_files';
        $text .= "        " . single("*:file:$rest") . " ;;\n";
    }
    return $text . "esac\n";
}

# --- fish ---

sub fish {
    my ($t, @keys) = @_;
    my $quote = sub { "'" . ($_[0] =~ s/([\\'])/\\$1/gr) . "'" };
    my $text = "# Completion of $t->{name} for fish, written by mk/completions.pl from its option table.\n";
    $text .= "complete -c $t->{name} -f -a " . $quote->("@{$t->{operands}}") . "\n" if $t->{operands};
    for my $o (@{ $t->{options} }) {
        my $line = "complete -c $t->{name}" . ($o->{letter} ? " -s $o->{letter}" : '') . " -l $o->{long}";
        if (defined $o->{argument}) {
            my $k = $o->{kind};
            my @answers = @{ $k->{words} // [] };
            push @answers, '(__fish_complete_suffix .' . join(' .', @{ $k->{endings} }) . ')' if $k->{endings};
            push @answers, @keys if $k->{set};
            push @answers, '(__fish_complete_directories)' if $k->{folders};
            $line .= $k->{files} ? ' -r -F' : $o->{optional} ? '' : ' -x';
            $line .= ' -a ' . $quote->("@answers") if @answers;
        }
        $text .= "$line -d " . $quote->($o->{help}) . "\n";
    }
    return $text;
}

my @keys  = keys_of_manual();
my @table = map { tool($_, @keys) } @tools;
for my $folder ($out, map { "$out/$_" } qw(bash zsh fish)) {
    -d $folder or mkdir $folder or die "$folder: $!\n";
}
for my $t (@table) {
    put("$out/bash/$t->{name}", bash($t, @keys));
    put("$out/fish/$t->{name}.fish", fish($t, @keys));
}
put("$out/zsh/_sgaps", zsh(\@table, @keys));
