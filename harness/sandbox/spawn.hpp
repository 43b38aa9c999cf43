// Starting a child: its descriptors, environment, session and status page.
#pragma once

#include <sys/types.h>

#include <string>
#include <tl/expected.hpp>

#include "nbdcheck/sandbox.hpp"
#include "sandbox/descriptor.hpp"

namespace nbdcheck::sandbox {

// The parent's mapping of the page.
class SharedPage {
 public:
  SharedPage() = default;
  explicit SharedPage(StatusPage* page) : page_(page) {}
  SharedPage(SharedPage&& other) noexcept : page_(std::exchange(other.page_, nullptr)) {}
  SharedPage& operator=(SharedPage&& other) noexcept {
    std::swap(page_, other.page_);
    return *this;
  }
  ~SharedPage();

  StatusPage& operator*() const { return *page_; }
  StatusPage* operator->() const { return page_; }

  // Lets a dying child go on to its death.
  void release() const;

 private:
  StatusPage* page_ = nullptr;
};

// How a process ended, as wait(2) tells.
struct WaitStatus {
  bool signalled = false;
  int value = 0;  // exit status or signal
};

// Waits for a child; {} when somebody else has done so.
WaitStatus reap(pid_t pid);

// A running child.  Killed and reaped at the latest when this goes.
struct Child {
  Child() = default;
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;
  ~Child();

  // Kills the process group and waits.
  WaitStatus end();
  // Whether the process is gone (it stays a zombie until end()).
  [[nodiscard]] bool is_over() const;

  Descriptor process;  // pidfd; not valid on kernels before 5.3
  Descriptor events;
  Descriptor standard_output;
  Descriptor standard_error;
  SharedPage page;
  std::string marker;  // value of NBDCHECK_CHILD
  pid_t pid = 0;

 private:
  bool reaped_ = false;
  WaitStatus status_;
};

tl::expected<Child, std::string> spawn(const ChildSpec& spec);

}  // namespace nbdcheck::sandbox
