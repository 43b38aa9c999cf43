// .preconnect runs before anything is known of the client, so anybody can make
// the server spend that time.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::hang_preconnect {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int calls = 3;
constexpr milliseconds too_slow{100};

std::string not_applicable(const Subject& subject) {
  return subject.has("preconnect") ? "" : "no .preconnect";
}

const Registration registration{{
    .id = "hang.preconnect",
    .summary = ".preconnect is quick",
    .rules = {"hang.preconnect"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const auto server = run.serve();
          if (!server) return;
          set_phase("connecting without opening");
          // The quickest of several: a busy machine is not the plugin's fault.
          auto quickest = Clock::duration::max();
          for (int i = 0; i < calls; ++i) {
            Client client(*server);
            const auto begin = Clock::now();
            if (!client.connect()) return run.failed_to_start(client.failure());
            quickest = std::min(quickest, Clock::now() - begin);
          }
          if (quickest > too_slow) {
            Violation v;
            v.rule = "hang.preconnect";
            v.message =
                fmt::format(".preconnect took at least {} ms, each of {} times.",
                            std::chrono::duration_cast<milliseconds>(quickest).count(), calls);
            v.expected = "as fast as possible: below 100 ms";
            v.actual = "a client that has said nothing yet kept the server busy";
            run.violated(std::move(v));
          }
          server->stop();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::hang_preconnect
