// .thread_model decides once and for all what may overlap.  nbdkit asks it
// once; a plugin that rolls dice there serves differently from run to run.
#include <fmt/format.h>

#include "checks/check_run.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck::checks::lifecycle_thread_model {
namespace {

std::string not_applicable(const Subject& subject) {
  return subject.has("thread_model") ? "" : "no .thread_model";
}

const Registration registration{{
    .id = "lifecycle.thread-model",
    .summary = ".thread_model gives the same answer when it is asked again",
    .rules = {"lifecycle.thread-model-stable"},
    .not_applicable = not_applicable,
    .run =
        [](CheckRun& run) {
          const auto server = run.load(run.server_options());
          if (!server) return;
          if (const auto ok = server->configure(run.request().arguments); !ok)
            return run.failed_to_start(ok.error());
          set_phase("asking .thread_model again");
          const auto ask = server->plugin().callbacks().thread_model;
          const int first = ask();
          const int again = ask();
          if (first != again) {
            Violation v;
            v.rule = "lifecycle.thread-model-stable";
            v.message = fmt::format(
                ".thread_model, called twice with the same configuration, returned {} and then {}.",
                first, again);
            v.expected = "the same model";
            run.violated(std::move(v));
          }
          server->unload();
        },
}};

}  // namespace
}  // namespace nbdcheck::checks::lifecycle_thread_model
