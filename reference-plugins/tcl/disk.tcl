# A RAM disk for nbdkit-tcl-plugin(3): size=BYTES.  Blocks that nobody wrote are
# not stored; they read as zeroes.
set size [expr {1 << 20}]
set block_size 4096
array set blocks {}

proc config {key value} {
    global size
    if {$key ne "size"} { error "unknown parameter $key" }
    if {![regexp {^[0-9]+$} $value]} { error "size is a number of bytes" }
    set size $value
}

proc plugin_open {readonly} { return [list $readonly] }

proc get_size {h} {
    global size
    return $size
}

# Any connection sees what another one wrote at once.
proc can_multi_conn {h} { return 1 }

# The pieces of a request, one for each block: "block begin length".
proc pieces {count offset} {
    global block_size
    set result {}
    while {$count > 0} {
        set begin [expr {$offset % $block_size}]
        set length [expr {min($count, $block_size - $begin)}]
        lappend result [list [expr {$offset / $block_size}] $begin $length]
        incr offset $length
        incr count -$length
    }
    return $result
}

proc block {number} {
    global blocks block_size
    if {[info exists blocks($number)]} { return $blocks($number) }
    return [binary format x$block_size]
}

proc pread {h count offset} {
    set buf {}
    foreach piece [pieces $count $offset] {
        lassign $piece number begin length
        append buf [string range [block $number] $begin [expr {$begin + $length - 1}]]
    }
    return $buf
}

proc pwrite {h buf offset} {
    global blocks
    set done 0
    foreach piece [pieces [string length $buf] $offset] {
        lassign $piece number begin length
        set blocks($number) [string replace [block $number] $begin [expr {$begin + $length - 1}] \
            [string range $buf $done [expr {$done + $length - 1}]]]
        incr done $length
    }
}

proc zero {h count offset may_trim} {
    global blocks block_size
    foreach piece [pieces $count $offset] {
        lassign $piece number begin length
        if {$length == $block_size} {
            array unset blocks $number
        } elseif {[info exists blocks($number)]} {
            set blocks($number) [string replace $blocks($number) $begin \
                [expr {$begin + $length - 1}] [binary format x$length]]
        }
    }
}

proc trim {h count offset} { zero $h $count $offset 1 }

proc plugin_flush {h} { }
