#include "judge/three_way.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace nbdcheck {
namespace {

std::string outcome(int error) {
  const char* const name = error == 0 ? "success" : ::strerrorname_np(error);
  return name == nullptr ? fmt::format("errno {}", error) : name;
}

std::string_view contradiction(Blame blame) {
  switch (blame) {
    case Blame::plugin:
      return "both servers contradict the reference disk";
    case Blame::our_server:
      return "nbdcheck's server contradicts the reference disk and the real one does not";
    case Blame::nbdkit:
      return "the real server contradicts the reference disk and nbdcheck's does not";
    case Blame::undecided:
      break;
  }
  return "";
}

std::string verdict(Blame blame, const std::string& nbdkit_name) {
  switch (blame) {
    case Blame::plugin:
      return fmt::format("in process and in {}", nbdkit_name);
    case Blame::our_server:
      return "nbdcheck's own server is wrong";
    case Blame::nbdkit:
      return nbdkit_name + " is wrong";
    case Blame::undecided:
      break;
  }
  return fmt::format(
      "in process and in {} the outcome is not the same, and nobody knows whose "
      "doing it is",
      nbdkit_name);
}

// Up to where both maps go: one may tell less than was asked for.
std::optional<std::string> maps_differ(const std::vector<Extent>& ours,
                                       const std::vector<Extent>& theirs) {
  for (const Extent& a : ours) {
    for (const Extent& b : theirs) {
      const std::uint64_t begin = std::max(a.offset, b.offset);
      const std::uint64_t end = std::min(a.offset + a.length, b.offset + b.length);
      if (begin < end && a.type != b.type)
        return fmt::format("from offset {} on the map says {} in process, {} there", begin, a.type,
                           b.type);
    }
  }
  return std::nullopt;
}

}  // namespace

std::optional<Disagreement> three_way(const Operation& op, const Side& ours, const Side& nbdkits,
                                      const std::string& nbdkit_name) {
  const auto because = [&](Blame blame, std::string_view words) {
    return Disagreement{
        blame, fmt::format("{}: {}: {}", verdict(blame, nbdkit_name), describe(op), words)};
  };
  if (ours.contradicted || nbdkits.contradicted) {
    const Blame blame = !nbdkits.contradicted ? Blame::our_server
                        : !ours.contradicted  ? Blame::nbdkit
                                              : Blame::plugin;
    return because(blame, contradiction(blame));
  }
  if (ours.seen.error != nbdkits.seen.error) {
    // What our server refuses by itself, the plugin has no part in.
    const bool refused = ours.seen.error != 0 && !ours.seen.reached_plugin;
    return because(refused ? Blame::our_server : Blame::undecided,
                   fmt::format("{} in process, {} there", outcome(ours.seen.error),
                               outcome(nbdkits.seen.error)));
  }
  if (const auto words = maps_differ(ours.seen.map, nbdkits.seen.map))
    return because(Blame::undecided, *words);
  return std::nullopt;
}

}  // namespace nbdcheck
