// What a person sees, held against the files in golden/.  After a wanted
// change: NBDCHECK_UPDATE_GOLDEN=1 report_test, and read the diff.
#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <sstream>

#include "report/event.hpp"
#include "report/sample_run.hpp"

namespace nbdcheck {
namespace {

std::string shown(const RunSummary& run, TerminalStyle style) {
  char* data = nullptr;
  std::size_t size = 0;
  std::FILE* out = open_memstream(&data, &size);
  {
    const auto listener = terminal_listener(out, style);
    listener->on_begin(run);
    if (run.subject) listener->on_subject(*run.subject);
    for (const CheckResult& check : run.checks) listener->on_check(check);
    for (const Finding& finding : run.findings) listener->on_finding(finding);
    listener->on_end(run);
  }
  std::fclose(out);
  const std::string text(data, size);
  std::free(data);
  return text;
}

void expect_golden(const std::string& name, const std::string& text) {
  const std::string path = std::string(GOLDEN_DIR) + "/" + name + ".txt";
  if (std::getenv("NBDCHECK_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  EXPECT_EQ(text, golden.str()) << path;
}

TerminalStyle plain(int width) {
  TerminalStyle style;
  style.width = width;
  return style;
}

TEST(Terminal, Conformant) { expect_golden("conformant", shown(sample::conformant(), plain(100))); }

TEST(Terminal, NonconformantNarrow) {
  expect_golden("nonconformant-80", shown(sample::nonconformant(), plain(80)));
}

TEST(Terminal, NonconformantWideWithColour) {
  TerminalStyle style = plain(120);
  style.colour = true;
  expect_golden("nonconformant-120-colour", shown(sample::nonconformant(), style));
}

TEST(Terminal, Waived) { expect_golden("waived", shown(sample::waived(), plain(100))); }

TEST(Terminal, Quiet) {
  TerminalStyle style = plain(80);
  style.quiet = true;
  expect_golden("quiet", shown(sample::nonconformant(), style));
  const std::string one_line = shown(sample::conformant(), style);
  EXPECT_EQ(one_line,
            "CONFORMANT: 58 of 71 rules checked, 13 not applicable (no .trim, read-only); "
            "1,204,331 operations in 1.9 s; seed 42\n");
}

TEST(Terminal, Verbose) {
  TerminalStyle style = plain(100);
  style.verbose = true;
  expect_golden("verbose", shown(sample::nonconformant(), style));
}

TEST(Terminal, HostileTextIsHarmless) {
  const std::string text = shown(sample::hostile(), plain(100));
  for (const char c : text) {
    EXPECT_TRUE(c == '\n' || static_cast<unsigned char>(c) >= 0x20) << int{c};
  }
  EXPECT_EQ(text.find("\xE2\x80\xAE"), std::string::npos);
  EXPECT_EQ(text.find('\xFF'), std::string::npos);
  expect_golden("hostile", text);
}

TEST(Terminal, LongSequencesShowTheirEnds) {
  RunSummary run = sample::conformant();
  Finding finding = sample::stale_read();
  finding.plan->operations.assign(1000, finding.plan->operations[1]);
  for (std::uint32_t i = 0; i < 1000; ++i) finding.plan->operations[i].count = i + 1;
  run.findings = {finding};
  const std::string text = shown(run, plain(100));
  EXPECT_NE(text.find("  12  #0 write(offset=0, count=12)\n"
                      "     ...  (964 calls not shown)\n"
                      "     977  #0 write(offset=0, count=977)\n"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("    1000  #0 write(offset=0, count=1000)\n"), std::string::npos);
}

TEST(Terminal, NothingCheckedAndErrorSayWhy) {
  RunSummary run;
  run.request.seed = 7;
  run.error = "no check matches --only=xyz";
  EXPECT_EQ(shown(run, plain(100)), "NOTHING CHECKED: no check matches --only=xyz; seed 7\n");
  run.verdict = Verdict::error;
  run.error = "no space left on device";
  run.rules_total = 71;
  EXPECT_EQ(shown(run, plain(100)),
            "ERROR: no space left on device; 0 of 71 rules checked, 71 not run; 0 operations in "
            "0.0 s; seed 7\n");
}

}  // namespace
}  // namespace nbdcheck
