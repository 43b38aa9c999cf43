# A RAM disk for nbdkit-perl-plugin(3): size=BYTES.
use strict;
use warnings;

my $size = 1 << 20;
my $disk;

sub config
{
    my ($key, $value) = @_;
    die "unknown parameter $key" if $key ne "size";
    die "size is a number of bytes" if $value !~ /^[0-9]+$/;
    $size = int ($value);
}

sub get_ready { $disk = "\0" x $size; }

sub open
{
    my $readonly = shift;
    return { readonly => $readonly };
}

sub get_size { return $size; }

# Without these nbdkit's Perl plugin announces none of them, whatever the script has.
sub can_write { return 1; }
sub can_flush { return 1; }
sub can_trim { return 1; }
sub can_zero { return 1; }

# Any connection sees what another one wrote at once.
sub can_multi_conn { return 1; }

sub pread
{
    my ($h, $count, $offset, $flags) = @_;
    return substr ($disk, $offset, $count);
}

sub pwrite
{
    my ($h, $buf, $offset, $flags) = @_;
    substr ($disk, $offset, length ($buf)) = $buf;
}

sub zero
{
    my ($h, $count, $offset, $flags) = @_;
    substr ($disk, $offset, $count) = "\0" x $count;
}

sub trim { zero (@_); }

sub flush { }
