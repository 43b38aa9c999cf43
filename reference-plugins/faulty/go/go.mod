module nbdcheck/faulty

go 1.19

require nbdcheck/nbdkit v0.0.0

replace nbdcheck/nbdkit => ../../go/nbdkit
