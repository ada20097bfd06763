# ShowFailures.pm - a formatter for prove(1): what the failing tests said (comments and other lines behind their "not ok"),
# once more before the summary, where whoever reads only the end of a long log finds it.
package ShowFailures;
use strict;
use warnings;
use parent 'TAP::Formatter::Console';

my @said;

sub open_test {
    my ($self, $file, $parser) = @_;
    my $failing = 0;
    $parser->callback(ALL => sub {
        my ($line) = @_;
        my $of_a_test = $line->is_test || $line->is_plan;
        $failing = $line->is_test && !$line->is_ok if $of_a_test;
        push @said, ($of_a_test ? "\n$file: " : '    ') . $line->raw . "\n" if $failing;
    });
    return $self->SUPER::open_test($file, $parser);
}

sub summary {
    my ($self, @arguments) = @_;
    $self->_output(join '', @said);
    return $self->SUPER::summary(@arguments);
}

1;
