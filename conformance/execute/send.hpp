// A request as a plan has it, sent to a Session or a Connection.
#pragma once

#include <span>

#include "nbdcheck/connection.hpp"
#include "nbdcheck/extents.hpp"
#include "plan/plan.hpp"

namespace nbdcheck {

// `data`: what is written, or where to; count bytes.  Extents go to `list`.
// Opening and closing are no requests, and nothing is done about them.
template <typename Peer>
Reply send(Peer& peer, const Operation& op, std::span<std::byte> data, ExtentList& list) {
  switch (op.kind) {
    case OpKind::read:
      return peer.read(data, op.offset, op.flags);
    case OpKind::write:
      return peer.write(data, op.offset, op.flags);
    case OpKind::flush:
      return peer.flush();
    case OpKind::trim:
      return peer.trim(op.count, op.offset, op.flags);
    case OpKind::zero:
      return peer.zero(op.count, op.offset, op.flags);
    case OpKind::cache:
      return peer.cache(op.count, op.offset);
    case OpKind::extents:
      return peer.extents(op.count, op.offset, op.flags, list);
    case OpKind::open:
    case OpKind::close:
      break;
  }
  return {};
}

template <typename Peer>
Reply send(Peer& peer, const Operation& op, std::span<std::byte> data, std::uint64_t export_size) {
  ExtentList list(op.offset, export_size);
  return send(peer, op, data, list);
}

}  // namespace nbdcheck
