#include <fmt/format.h>

#include <algorithm>

#include "cli/list.hpp"
#include "report/paint.hpp"
#include "text/nearest.hpp"
#include "text/printable.hpp"

namespace nbdcheck {
namespace {

// The Markdown of rule pages, for a terminal: paragraphs and list items are
// filled, headings stand out, code and tables stay as they are.
class Page {
 public:
  Page(std::size_t columns, const Paint& paint) : columns_(columns), paint_(paint) {}

  std::string render(std::string_view markdown) {
    while (!markdown.empty()) {
      const std::size_t end = markdown.find('\n');
      line(markdown.substr(0, end));
      markdown.remove_prefix(end == std::string_view::npos ? markdown.size() : end + 1);
    }
    end_paragraph();
    return std::move(out_);
  }

 private:
  void line(std::string_view text) {
    if (text.starts_with("```")) {
      end_paragraph();
      in_code_ = !in_code_;
    } else if (in_code_) {
      out_ += fmt::format("    {}\n", text);
    } else if (text.empty()) {
      end_paragraph();
      if (!out_.empty() && !out_.ends_with("\n\n")) out_ += '\n';
    } else if (text.starts_with('#')) {
      end_paragraph();
      text.remove_prefix(std::min(text.find_first_not_of("# "), text.size()));
      out_ += paint_.bold(text) + "\n";
    } else if (text.starts_with('|') || (text.starts_with("    ") && paragraph_.empty())) {
      end_paragraph();
      out_ += fmt::format("{}\n", text);
    } else {
      const bool item = text.starts_with("* ") || text.starts_with("- ");
      if (item) {
        end_paragraph();
        in_item_ = true;
        text.remove_prefix(2);
      }
      paragraph_ += fmt::format("{} ", text);
    }
  }

  void end_paragraph() {
    std::string_view first = in_item_ ? "  * " : "  ";
    const std::string_view rest = in_item_ ? "    " : "  ";
    for (const std::string& filled : wrap(paragraph_, columns_ - rest.size())) {
      out_ += fmt::format("{}{}\n", first, filled);
      first = rest;
    }
    paragraph_.clear();
    in_item_ = false;
  }

  std::size_t columns_;
  const Paint& paint_;
  std::string out_;
  std::string paragraph_;
  bool in_item_ = false;
  bool in_code_ = false;
};

}  // namespace

tl::expected<std::string, CliExit> explain(std::string_view id, std::span<const Rule> rules,
                                           int width, bool colour) {
  const auto rule =
      std::find_if(rules.begin(), rules.end(), [&](const Rule& r) { return r.id == id; });
  if (rule == rules.end()) {
    std::vector<std::string_view> known;
    for (const Rule& r : rules) known.push_back(r.id);
    const std::string near = nearest(id, known);
    return tl::unexpected(
        usage_error(fmt::format("unknown rule {}; {}", quote(id),
                                near.empty() ? "'nbdcheck list --rules' names them all"
                                             : fmt::format("did you mean {}?", near))));
  }
  const Paint paint(colour);
  // Longer lines are hard to read, however wide the terminal.
  const auto columns = static_cast<std::size_t>(std::clamp(width, 40, 100));
  std::string text = fmt::format("{} {}\n", paint.severity(rule->severity, name(rule->severity)),
                                 paint.bold(rule->id));
  for (const std::string& line : wrap(rule->title, columns)) text += line + "\n";
  text += fmt::format("\nSince nbdkit {}; source: {}\n\n", rule->since, rule->source);
  return text + Page(columns, paint).render(rule->text);
}

}  // namespace nbdcheck
