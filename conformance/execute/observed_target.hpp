// A target whose replies are noted as a client sees them, so that two servers
// can be compared: errno as it goes over the wire, maps cut to the request.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "nbdcheck/target.hpp"
#include "observation.hpp"

namespace nbdcheck {

class ObservedTarget final : public Target {
 public:
  explicit ObservedTarget(Target& inner) : inner_(inner) {}
  tl::expected<std::unique_ptr<Session>, Failure> open(std::string_view export_name) override;

  // The first request since the last call.  Later ones are the runner's own, to
  // look closer.
  Observation take() { return std::exchange(observation_, {}); }

 private:
  class Observed;
  Target& inner_;
  Observation observation_;
};

// The part of `list` that answers the request, as descriptors carry it over the
// wire, with equal neighbours merged.
std::vector<Extent> map_of_request(const ExtentList& list, std::uint64_t offset,
                                   std::uint32_t count, std::uint32_t flags);

}  // namespace nbdcheck
