// Where the status page of this process lies: our own private one, or the one
// the parent watches.
#pragma once

#include "nbdcheck/status_page.hpp"

namespace nbdcheck::sandbox {

// Makes `page` the status page.  REQUIRES: no thread has claimed a slot yet.
void use_page(StatusPage* page);

// In a forked copy: back to a private page, so that the copy's calls do not
// pass for progress of the original.
void leave_shared_page();

// The page the parent reads, also in a forked copy; nullptr without a parent.
StatusPage* shared_page();

}  // namespace nbdcheck::sandbox
