// What a slot of the status page says, in words.
#pragma once

#include <string>

#include "nbdcheck/status_page.hpp"

namespace nbdcheck::sandbox {

// ".pwrite(count=4096, offset=0, flags=FUA)"; "" outside of callbacks.
std::string describe_call(const CallSlot& slot);

// The slot of thread `thread_id`; nullptr: none.
const CallSlot* slot_of(const StatusPage& page, int thread_id);
// The slot that explains the end: that of the crashed thread, or else the
// first one inside a callback; nullptr: none.
const CallSlot* culprit_slot(const StatusPage& page);

std::string phase_of(const StatusPage& page);

}  // namespace nbdcheck::sandbox
