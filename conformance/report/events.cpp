// The run as it goes, as JSON Lines; docs/formats.md describes it.  For those
// who show many runs at once: what is lost with the last line of a run that was
// killed is the last line.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "report/event.hpp"
#include "text/printable.hpp"
#include "values/descriptor.hpp"

namespace nbdcheck {
namespace {

using json = nlohmann::ordered_json;

class Events final : public FileReport {
 public:
  explicit Events(std::string path) : path_(std::move(path)) {}

  void on_begin(const RunSummary& so_far) override {
    begin_ = std::chrono::steady_clock::now();
    // Not O_APPEND with the lines of an earlier run: a reader would mix them up.
    file_.emplace(::open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (file_->get() < 0) return failed(errno);
    write("begin", {{"nbdcheck", NBDCHECK_VERSION},
                    {"schema", 1},
                    {"plugin", valid_utf8(so_far.plugin_as_given)},
                    {"seed", so_far.request.seed}});
  }

  void on_subject(const Subject& subject) override {
    write("subject", {{"name", valid_utf8(subject.plugin.name)}, {"size", subject.info.size}});
  }

  void on_progress(const std::string& check, std::size_t done, std::size_t total,
                   std::uint64_t operations) override {
    // Several checks run at once and all of them call; a line a second, or for
    // another check, is enough for a person.
    const auto now = std::chrono::steady_clock::now();
    if (check == last_check_ && now - last_progress_ < std::chrono::seconds(1)) return;
    if (now - last_progress_ < std::chrono::milliseconds(100)) return;
    last_check_ = check;
    last_progress_ = now;
    write("progress",
          {{"check", check}, {"done", done}, {"total", total}, {"operations", operations}});
  }

  void on_check(const CheckResult& result) override {
    write("check",
          {{"id", result.id}, {"status", name(result.status)}, {"operations", result.operations}});
  }

  void on_finding(const Finding& finding) override {
    write("finding", {{"rule", finding.rule},
                      {"severity", name(finding.severity)},
                      {"check", finding.check},
                      {"title", valid_utf8(finding.title)},
                      {"waived", finding.waived.has_value()}});
  }

  void on_end(const RunSummary& summary) override {
    write("end", {{"verdict", name(summary.verdict)},
                  {"exit_code", summary.exit_code()},
                  {"operations", summary.operations}});
  }

  [[nodiscard]] std::string error() const override { return error_; }

 private:
  void write(std::string_view event, const json& more) {
    if (!file_ || !error_.empty()) return;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin_;
    json line = {{"event", event}, {"seconds", std::round(elapsed.count() * 1000) / 1000}};
    line.update(more);
    // In one call, so that no reader sees half of it as long as there is room.
    const std::string text = line.dump() + "\n";
    for (std::string_view rest = text; !rest.empty();) {
      const ssize_t n = ::write(file_->get(), rest.data(), rest.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return failed(errno);
      rest.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  void failed(int error) {
    error_ = fmt::format("{}: {}", printable(path_),
                         std::error_code(error, std::system_category()).message());
  }

  std::string path_;
  std::string error_;
  std::optional<Descriptor> file_;
  std::chrono::steady_clock::time_point begin_;
  std::chrono::steady_clock::time_point last_progress_;
  std::string last_check_;
};

}  // namespace

std::unique_ptr<FileReport> events_report(std::string path) {
  return std::make_unique<Events>(std::move(path));
}

}  // namespace nbdcheck
