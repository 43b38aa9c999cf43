# Serves a file through nbdkit-tcl-plugin(3): file=PATH.
proc config {key value} {
    global path
    if {$key ne "file"} { error "unknown parameter $key" }
    # nbdkit may go to another directory before it serves.
    set path [file normalize $value]
}

proc config_complete {} {
    global path
    if {![info exists path]} { error "file=PATH is needed" }
}

proc plugin_open {readonly} {
    global path
    if {$readonly} { set mode r } else { set mode r+ }
    set fp [::open $path $mode]
    # No buffer of our own: other connections use the same file.
    fconfigure $fp -translation binary -buffering none
    return $fp
}

proc plugin_close {h} { ::close $h }

proc get_size {h} {
    global path
    return [file size $path]
}

proc pread {h count offset} {
    seek $h $offset
    set buf [read $h $count]
    if {[string length $buf] != $count} { error "short read" }
    return $buf
}

proc pwrite {h buf offset} {
    seek $h $offset
    puts -nonewline $h $buf
    ::flush $h
}

proc zero {h count offset may_trim} {
    pwrite $h [binary format x$count] $offset
}

# Tcl has no fsync of its own.
proc plugin_flush {h} {
    global path
    ::flush $h
    exec sync -d $path
}
