// The functions that stand between a plugin and the C library while something
// wants to know, or to disturb, what it calls.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>

#include "interpose/imports.hpp"

namespace nbdcheck::interpose {

// All of them.  Each does what its namesake does.
std::span<const Replacement> wrapped_functions();

// What they tell of.  Null: nobody listens.  Called on the plugin's threads.
class Disturbance {
 public:
  virtual ~Disturbance() = default;
  // A place where another thread might as well have run; `often` where much
  // hangs on the order.
  virtual void here(bool often) = 0;
  // Whether a copy of that many bytes is to be done in two parts.
  virtual bool split(std::uint64_t bytes) = 0;
};
extern constinit std::atomic<Disturbance*> disturbance;

class LockListener {
 public:
  virtual ~LockListener() = default;
  struct Call {
    std::uint64_t lock;
    std::uint64_t at;  // return address
    bool shared;       // for reading
  };
  virtual void wants(const Call& call) = 0;  // about to wait for it
  virtual void has(const Call& call, bool waited) = 0;
  virtual void failed(const Call& call) = 0;  // wanted it and did not get it
  virtual void released(std::uint64_t lock) = 0;
  // No lock is at these addresses any more.
  virtual void gone(std::uint64_t begin, std::uint64_t size) = 0;
};
extern constinit std::atomic<LockListener*> lock_listener;

}  // namespace nbdcheck::interpose
