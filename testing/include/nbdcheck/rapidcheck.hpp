/// @file
/// RapidCheck generators of operations, which RapidCheck shrinks by leaving some
/// out.
///
///     RC_GTEST_PROP(MyPlugin, KeepsItsContract, ()) {
///       nbdcheck::PluginUnderTest plugin("./myplugin.so", {"size=1M"});
///       const auto operations = *nbdcheck::gen::operations(plugin.subject());
///       const auto outcome = plugin.run(operations);
///       RC_ASSERT(outcome.ok());
///     }
#pragma once

#include <rapidcheck.h>

#include <cstdint>
#include <ostream>
#include <vector>

#include "nbdcheck/testing.hpp"

namespace nbdcheck {

inline void showValue(const Operation& operation, std::ostream& out) { out << describe(operation); }

namespace gen {

/// One operation within what the export offers.
inline rc::Gen<Operation> operation(const Subject& subject) {
  return rc::gen::map(rc::gen::noShrink(rc::gen::arbitrary<std::uint64_t>()),
                      [subject](std::uint64_t seed) { return random_operation(subject, seed); });
}

/// A sequence of them.
inline rc::Gen<std::vector<Operation>> operations(const Subject& subject) {
  return rc::gen::container<std::vector<Operation>>(operation(subject));
}

}  // namespace gen
}  // namespace nbdcheck

namespace rc {
template <>
struct Arbitrary<nbdcheck::Operation>;  // needs a Subject: nbdcheck::gen::operation(subject)
}  // namespace rc
