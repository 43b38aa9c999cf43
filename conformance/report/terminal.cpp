// The listener for a person: see tables.hpp for what each part looks like.
#include <fmt/format.h>

#include <memory>

#include "report/event.hpp"
#include "report/progress_line.hpp"
#include "report/tables.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

class Terminal final : public Listener {
 public:
  Terminal(std::FILE* out, TerminalStyle style) : out_(out), style_(style), paint_(style.colour) {}

  void on_begin(const RunSummary& so_far) override {
    plugin_ = so_far.plugin_as_given;
    arguments_ = so_far.arguments_as_given;
    if (style_.interactive) progress_.emplace(out_, style_.width, std::chrono::steady_clock::now);
  }

  void on_subject(const Subject& subject) override {
    if (style_.quiet) return;
    RunSummary so_far;
    so_far.plugin_as_given = plugin_;
    so_far.arguments_as_given = arguments_;
    print(subject_text(so_far, subject, style_.width));
  }

  void on_progress(const std::string& check, std::size_t done, std::size_t total,
                   std::uint64_t operations) override {
    if (progress_) progress_->update(check, done, total, operations);
  }

  void on_check(const CheckResult& result) override {
    if (style_.verbose && !style_.quiet) print(check_line(result, paint_));
  }

  void on_end(const RunSummary& summary) override {
    std::string text;
    if (!style_.quiet && !summary.checks.empty()) {
      if (style_.verbose) text += "\n";
      text += group_table(summary, paint_, style_.width) + "\n";
      if (style_.verbose) text += time_table(summary.time) + "\n";
    }
    for (const Finding& finding : summary.findings) {
      text += finding_text(finding, paint_, style_.width) + "\n";
    }
    if (!style_.quiet && !summary.notes.empty()) {
      for (const std::string& note : summary.notes) text += labelled("note:", note);
      text += "\n";
    }
    if (!style_.quiet) text += waivers_text(summary);
    print(text + last_line(summary, paint_));
    progress_.reset();
  }

 private:
  [[nodiscard]] std::string labelled(std::string_view label, const std::string& what) const {
    std::string text;
    std::string start = paint_.dim(label);
    const auto columns = static_cast<std::size_t>(std::max(style_.width, 40)) - label.size() - 1;
    for (const std::string& line : wrap(printable(what), columns)) {
      text += start + " " + line + "\n";
      start = std::string(label.size(), ' ');
    }
    return text;
  }

  // What to do about the file of waivers.
  [[nodiscard]] std::string waivers_text(const RunSummary& summary) const {
    std::string text;
    for (const WaiverOutcome& outcome : summary.waivers) {
      const Waiver& waiver = outcome.waiver;
      if (outcome.state == WaiverState::expired)
        text += labelled("waiver:", fmt::format("{} has expired on {}: {} ({})", waiver.where,
                                                waiver.until, waiver.rule, waiver.reason));
      else if (outcome.state == WaiverState::unneeded)
        text += labelled("waiver:", fmt::format("{} is not needed: {} was checked and is kept ({})",
                                                waiver.where, waiver.rule, waiver.reason));
    }
    return text.empty() ? text : text + "\n";
  }

  void print(const std::string& text) {
    if (progress_) progress_->erase();
    // Plugins run with --in-process write to the same terminal.
    std::fwrite(text.data(), 1, text.size(), out_);
    std::fflush(out_);
  }

  std::FILE* out_;
  TerminalStyle style_;
  Paint paint_;
  std::string plugin_;
  std::vector<std::string> arguments_;
  std::optional<ProgressLine> progress_;
};

}  // namespace

std::string finding_for_terminal(const Finding& finding, const TerminalStyle& style) {
  return finding_text(finding, Paint(style.colour), style.width);
}

std::unique_ptr<Listener> terminal_listener(std::FILE* out, TerminalStyle style) {
  return std::make_unique<Terminal>(out, style);
}

}  // namespace nbdcheck
