// Copies of this process that a plugin makes with fork(2) while an input runs.
//
// One that goes on in the plugin, or becomes another program, is the plugin's affair.
// One that comes out of the callback would fuzz on beside us; that is told by a pipe,
// which it leaves when it is ended.
#pragma once

namespace nbdcheck::fuzz {

// Whether forks of this process are noted from now on.
void note_forks(bool noted);
// Waits, for a moment, until those noted have ended, become another program, or shown
// that they will do neither; forgets them.
void await_forks();

}  // namespace nbdcheck::fuzz
