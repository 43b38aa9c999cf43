module nbdcheck/nbdkit

go 1.19
