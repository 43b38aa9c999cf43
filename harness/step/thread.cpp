// A thread that takes its work from a word of memory: handing over takes
// microseconds, and there are thousands of hand-overs in a check.
#include <unistd.h>

#include "nbdcheck/sandbox.hpp"
#include "nbdcheck/step.hpp"
#include "step/word.hpp"

namespace nbdcheck {

struct StepThread::Mailbox {
  enum State : std::uint32_t { empty, full, stopped };
  step::Word state;
  std::function<void()> work;
  step::Word ready;
};

StepThread::StepThread() : mail_(std::make_unique<Mailbox>()), thread_([this] { loop(); }) {
  mail_->ready.wait_while(0);
}

StepThread::~StepThread() {
  mail_->state.wait_while(Mailbox::full);
  mail_->state.set(Mailbox::stopped);
  thread_.join();
}

void StepThread::start(std::function<void()> work) {
  mail_->work = std::move(work);
  mail_->state.set(Mailbox::full);
}

bool StepThread::wait(std::chrono::milliseconds limit) {
  return mail_->state.wait_while(Mailbox::full, limit);
}

void StepThread::run(std::function<void()> work) {
  start(std::move(work));
  mail_->state.wait_while(Mailbox::full);
}

void StepThread::loop() {
  prepare_thread();
  id_ = ::gettid();
  mail_->ready.set(1);
  for (;;) {
    mail_->state.wait_while(Mailbox::empty);
    if (mail_->state.get() == Mailbox::stopped) return;
    mail_->work();
    mail_->work = nullptr;
    mail_->state.set(Mailbox::empty);
  }
}

}  // namespace nbdcheck
