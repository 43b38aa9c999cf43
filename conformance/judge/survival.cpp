#include "judge/survival.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "model/tags.hpp"

namespace nbdcheck {
namespace {

bool is_fua(const Operation& op) { return (op.flags & command_flag::fua) != 0; }

std::string hex(const std::vector<std::byte>& bytes, std::size_t at) {
  std::string text;
  for (std::size_t i = at; i < std::min(bytes.size(), at + 16); ++i)
    text += fmt::format("{:02x} ", static_cast<unsigned>(bytes[i]));
  return text;
}

}  // namespace

Survival::Survival(std::vector<Range> ranges, Rules rules)
    : ranges_(std::move(ranges)), rules_(rules), places_(ranges_.size()) {}

void Survival::begin(const Contents& contents) {
  story_.clear();
  for (std::size_t i = 0; i < places_.size(); ++i) {
    Version now{};
    now.kind = i < contents.size() && !contents[i].empty() ? Version::Kind::bytes
                                                           : Version::Kind::anything;
    if (now.kind == Version::Kind::bytes) now.bytes = contents[i];
    places_[i] = {{std::move(now)}, 0, {}};
  }
}

void Survival::promise(Place& place, std::size_t version, const Operation& by) {
  if (version <= place.promised) return;
  place.promised = version;
  place.promise = by;
}

void Survival::step(const Operation& op, bool ok) {
  story_.push_back(fmt::format("  {}{}", describe(op), ok ? "" : " failed"));
  if (op.kind == OpKind::flush) {
    if (!ok) return;
    for (Place& place : places_)
      for (std::size_t v = 1; v < place.versions.size(); ++v)
        if (place.versions[v].acknowledged &&
            (rules_.multi_conn || place.versions[v].by.connection == op.connection))
          promise(place, v, op);
    return;
  }
  for (std::size_t i = 0; i < places_.size(); ++i) {
    if (ranges_[i].offset != op.offset || ranges_[i].count != op.count) continue;
    Version next{};
    next.by = op;
    next.acknowledged = ok;
    next.kind = op.kind == OpKind::trim ? Version::Kind::anything : Version::Kind::bytes;
    if (op.kind != OpKind::trim) next.bytes.resize(op.count);
    if (op.kind == OpKind::write) fill_tags(next.bytes, op.offset, op.tag);
    places_[i].versions.push_back(std::move(next));
    if (ok && is_fua(op)) promise(places_[i], places_[i].versions.size() - 1, op);
  }
}

std::optional<Violation> Survival::judge(const Contents& found) const {
  for (std::size_t i = 0; i < places_.size() && i < found.size(); ++i)
    if (auto violation = judge(i, found[i])) return violation;
  return std::nullopt;
}

std::optional<Violation> Survival::judge(std::size_t index,
                                         const std::vector<std::byte>& found) const {
  const Place& place = places_[index];
  if (place.promised == 0) return std::nullopt;
  const auto first = place.versions.begin() + static_cast<std::ptrdiff_t>(place.promised);
  const auto is_anything = [](const Version& v) { return v.kind == Version::Kind::anything; };
  if (std::any_of(first, place.versions.end(), is_anything)) return std::nullopt;
  // Of what came after the promise any part may be there.
  std::size_t wrong = 0;
  while (wrong < found.size() && std::any_of(first, place.versions.end(), [&](const Version& v) {
           return v.bytes[wrong] == found[wrong];
         }))
    ++wrong;
  if (wrong == found.size() && !found.empty()) return std::nullopt;

  const Operation& promised = first->by;
  const Operation& by = place.promise;
  Violation v;
  if (by.kind != OpKind::flush && rules_.native_fua)
    v.rule = "fua.durable";
  else
    v.rule = by.connection == promised.connection ? "flush.durable" : "flush.multi-conn";
  v.message = fmt::format(
      "The process was killed when {} had been answered with success. Started again on the same "
      "files, the plugin does not have what {} did.",
      describe(by), by.kind == OpKind::flush ? describe(promised) : "it");
  if (found.empty()) {
    v.actual = "the range cannot be read";
  } else {
    v.expected =
        fmt::format("at offset {}: {}", ranges_[index].offset + wrong, hex(first->bytes, wrong));
    v.actual = fmt::format("at offset {}: {}", ranges_[index].offset + wrong, hex(found, wrong));
    for (auto old = place.versions.begin(); old != first; ++old)
      if (old->kind == Version::Kind::bytes && old->bytes == found)
        v.actual += " (as it was before)";
  }
  v.details.emplace_back("what was asked of the process that was killed:");
  v.details.insert(v.details.end(), story_.begin(), story_.end());
  return v;
}

}  // namespace nbdcheck
