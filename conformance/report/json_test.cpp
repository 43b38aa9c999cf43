#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/event.hpp"
#include "report/sample_run.hpp"

namespace nbdcheck {
namespace {

using nlohmann::json;

std::string written(const RunSummary& run) {
  const std::string path = testing::TempDir() + "nbdcheck-json-" + std::to_string(::getpid());
  const auto report = json_report(path);
  EXPECT_NE(report->error(), "");
  report->on_end(run);
  EXPECT_EQ(report->error(), "");
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  std::filesystem::remove(path);
  return text.str();
}

std::vector<std::string> keys(const json& object) {
  std::vector<std::string> names;
  for (const auto& [key, value] : object.items()) names.push_back(key);
  return names;
}

TEST(JsonReport, IsAsGolden) {
  const std::string text = written(sample::nonconformant());
  const std::string path = std::string(GOLDEN_DIR) + "/nonconformant.json";
  if (std::getenv("NBDCHECK_UPDATE_GOLDEN") != nullptr) std::ofstream(path) << text;
  std::ifstream file(path);
  std::stringstream golden;
  golden << file.rdbuf();
  // The version is the only thing that changes from release to release.
  json expected = json::parse(golden.str());
  json actual = json::parse(text);
  EXPECT_TRUE(actual["nbdcheck"].is_string());
  expected.erase("nbdcheck");
  actual.erase("nbdcheck");
  EXPECT_EQ(actual, expected);
}

TEST(JsonReport, TellsWhereTheTimeWent) {
  const json time = json::parse(written(sample::conformant()))["time"];
  EXPECT_EQ(time["start_up"], (json{{"seconds", 0.2}, {"processes", 2}}));
  EXPECT_EQ(time["shrinking"], (json{{"seconds", 1.5}, {"processes", 37}}));
  EXPECT_EQ(time["idle"], (json{{"seconds", 0.34}}));
  // The sample adds up, as a run does.
  const double all = time["checks"]["seconds"].get<double>() +
                     time["shrinking"]["seconds"].get<double>() +
                     time["idle"]["seconds"].get<double>();
  EXPECT_NEAR(time["start_up"]["seconds"].get<double>() + all / time["jobs"].get<int>(), 1.9, 1e-9);
}

TEST(JsonReport, TellsWhatWasWaived) {
  const json report = json::parse(written(sample::waived()));
  EXPECT_EQ(report["findings"][0]["waived"], nullptr);
  EXPECT_EQ(report["findings"][1]["waived"],
            (json{{"reason", "bug 12: offsets are 32 bits in the wire format"},
                  {"until", "2026-12-31"}}));
  ASSERT_EQ(report["waivers"].size(), 5U);
  EXPECT_EQ(report["waivers"][2], (json{{"rule", "abi.name"},
                                        {"plugin", "memory"},
                                        {"reason", "bug 12"},
                                        {"until", nullptr},
                                        {"where", "w.toml:13"},
                                        {"state", "unneeded"}}));
  const char* const states[] = {"used", "expired", "unneeded", "unneeded", "not-checked"};
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(report["waivers"][i]["state"], states[i]);
}

TEST(JsonReport, HasTheSchemasStructure) {
  const json report = json::parse(written(sample::nonconformant()));
  EXPECT_EQ(report["schema"], 1);
  EXPECT_EQ(report["verdict"], "nonconformant");
  EXPECT_EQ(report["seed"], 42);
  EXPECT_EQ(report["operations"], 1204331);
  EXPECT_EQ(keys(report["plugin"]),
            (std::vector<std::string>{"api_version", "args", "name", "path", "sha256",
                                      "thread_model", "version"}));
  ASSERT_EQ(report["checks"].size(), 6U);
  for (const json& check : report["checks"]) {
    EXPECT_EQ(keys(check), (std::vector<std::string>{"id", "operations", "processes", "reason",
                                                     "rules", "seconds", "status"}));
  }
  ASSERT_EQ(report["findings"].size(), 2U);
  for (const json& finding : report["findings"]) {
    for (const char* const key :
         {"rule", "severity", "check", "title", "message", "expected", "actual", "plan", "nbdsh",
          "operations", "confirmed_on_nbdkit", "waived"}) {
      EXPECT_TRUE(finding.contains(key)) << key;
    }
  }
  EXPECT_EQ(report["findings"][0]["operations"], 4);
  EXPECT_TRUE(report["findings"][1]["operations"].is_null());
  EXPECT_TRUE(report["findings"][1]["expected"].is_null());
}

TEST(JsonReport, SurvivesTextThatIsNotUtf8) {
  const json report = json::parse(written(sample::hostile()));
  const std::string rule = report["findings"][0]["rule"];
  EXPECT_NE(rule.find("\xEF\xBF\xBD"), std::string::npos);
  EXPECT_NE(rule.find('\x1b'), std::string::npos);  // as \u001b in the file
}

TEST(JsonReport, WithoutASubjectHasNulls) {
  RunSummary run;
  run.plugin_as_given = "./p.so";
  run.verdict = Verdict::nothing_checked;
  run.error = "why";
  run.seconds = std::numeric_limits<double>::quiet_NaN();
  const json report = json::parse(written(run));
  EXPECT_EQ(report["plugin"]["path"], "./p.so");
  EXPECT_TRUE(report["plugin"]["name"].is_null());
  EXPECT_TRUE(report["export"].is_null());
  EXPECT_EQ(report["exit_code"], 4);
  EXPECT_EQ(report["seconds"], 0.0);
}

}  // namespace
}  // namespace nbdcheck
