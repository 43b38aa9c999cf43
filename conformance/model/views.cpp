#include "model/views.hpp"

#include <algorithm>
#include <utility>

namespace nbdcheck {
namespace {

bool overlap(std::uint64_t a, std::uint64_t a_count, std::uint64_t b, std::uint64_t b_count) {
  return a < b + b_count && b < a + a_count;
}

}  // namespace

Views::Views(std::uint64_t size, ViewRules rules) : rules_(rules), store_(size) {}

void Views::open(int connection) {
  if (!rules_.shared) {
    views_.insert_or_assign(connection, ReferenceDisk(store_.size()));
    return;
  }
  auto& view = views_.insert_or_assign(connection, store_).first->second;
  if (rules_.multi_conn) return;
  for (const Pending& p : in_flux_)
    if (p.connection != connection) view.set(p.offset, p.count, Content::any(p.content.id));
}

void Views::close(int connection) {
  const auto it = views_.find(connection);
  if (it == views_.end()) return;
  if (rules_.shared) store_.learn_from(it->second);
  views_.erase(it);
  const auto is_mine = [&](const Pending& p) { return p.connection == connection; };
  std::erase_if(pending_, is_mine);
  std::erase_if(in_flux_, is_mine);
}

bool Views::contested(int connection, std::uint64_t offset, std::uint64_t count) const {
  return std::any_of(pending_.begin(), pending_.end(), [&](const Pending& p) {
    return p.connection != connection && overlap(p.offset, p.count, offset, count);
  });
}

void Views::set(int connection, std::uint64_t offset, std::uint64_t count, Content content,
                bool fua) {
  ReferenceDisk& own = views_.at(connection);
  if (!rules_.shared || !rules_.reopens) {
    own.set(offset, count, content);
    return;
  }
  const bool disputed = contested(connection, offset, count);
  // Written back early here, then overwritten by what the other had cached.
  if (disputed && !rules_.multi_conn)
    own.maybe(offset, count, content);
  else
    own.set(offset, count, content);
  const bool settled = fua && !disputed;
  if (settled) {
    store_.set(offset, count, content);
  } else {
    store_.maybe(offset, count, content);
    pending_.push_back({connection, offset, count, content});
  }
  if (views_.size() == 1) return;
  if (!rules_.multi_conn) in_flux_.push_back({connection, offset, count, content});
  for (auto& [other, view] : views_) {
    if (other == connection) continue;
    if (!rules_.multi_conn)
      view.set(offset, count, Content::any(content.id));
    else if (settled)
      view.set(offset, count, content);
    else
      view.maybe(offset, count, content);
  }
}

void Views::maybe(int connection, std::uint64_t offset, std::uint64_t count, Content content) {
  if (rules_.shared && rules_.reopens) {
    store_.maybe(offset, count, content);
    // What it left in a cache may yet be written back.
    pending_.push_back({connection, offset, count, content});
  }
  for (auto& [other, view] : views_) {
    if (other == connection || (rules_.shared && rules_.multi_conn))
      view.maybe(offset, count, content);
    else if (rules_.shared)
      view.set(offset, count, Content::any(content.id));
  }
}

void Views::settle(const Pending& p) {
  // What the writer itself sees there now: later failed writes included.
  const auto writer = views_.find(p.connection);
  if (writer == views_.end()) return;
  struct Piece {
    std::uint64_t begin, end;
  };
  std::vector<Piece> standing;
  writer->second.for_each(p.offset, p.count,
                          [&](std::uint64_t begin, std::uint64_t end, Content content) {
                            if (content == p.content) standing.push_back({begin, end});
                            return true;
                          });
  for (const Piece& piece : standing) {
    store_.set(piece.begin, piece.end - piece.begin, p.content);
    if (!rules_.multi_conn) continue;
    for (auto& [other, view] : views_)
      if (other != p.connection) view.set(piece.begin, piece.end - piece.begin, p.content);
  }
}

void Views::flush(int connection) {
  if (!rules_.shared || !rules_.reopens) return;
  const auto covered = [&](const Pending& p) {
    return rules_.multi_conn || p.connection == connection;
  };
  for (const Pending& p : pending_)
    if (covered(p)) settle(p);
  std::erase_if(pending_, covered);
}

std::optional<Mismatch> Views::read(int connection, std::uint64_t offset,
                                    std::span<const std::byte> data) {
  return views_.at(connection).read(offset, data);
}

}  // namespace nbdcheck
