// The same request on our server, on the real nbdkit, and on the reference
// disk: when they do not agree, who is wrong.
#pragma once

#include <optional>
#include <string>

#include "observation.hpp"
#include "plan/plan.hpp"

namespace nbdcheck {

enum class Blame { plugin, our_server, nbdkit, undecided };

struct Disagreement {
  Blame blame = Blame::undecided;
  std::string words;  // for a person, without a full stop
};

// What one server did, and whether the reference disk contradicts it.
struct Side {
  const Observation& seen;
  bool contradicted = false;
};

// Nothing: they agree, as far as there is something to agree on.  The data of
// reads are compared through the reference disk alone.
std::optional<Disagreement> three_way(const Operation& op, const Side& ours, const Side& nbdkits,
                                      const std::string& nbdkit_name);

}  // namespace nbdcheck
