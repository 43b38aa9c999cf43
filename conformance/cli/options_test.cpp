#include "cli/options.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace nbdcheck {
namespace {

using Arguments = std::vector<std::string>;

Options parsed(const Arguments& arguments) {
  const auto options = parse_options(arguments);
  EXPECT_TRUE(options.has_value()) << options.error().text;
  return options ? *options : Options{};
}

std::string error_of(const Arguments& arguments) {
  const auto options = parse_options(arguments);
  if (options) return "accepted";
  EXPECT_EQ(options.error().code, 2);
  EXPECT_TRUE(options.error().to_stderr);
  EXPECT_EQ(std::count(options.error().text.begin(), options.error().text.end(), '\n'), 1);
  EXPECT_TRUE(options.error().text.starts_with("nbdcheck: "));
  return options.error().text.substr(10, options.error().text.size() - 11);
}

TEST(Options, PluginAndArgumentsAreKeptAsTheyAre) {
  const Options options = parsed({"./p.so", "size=1G", "[a,b]", "", "x=\n\xFF", "-"});
  EXPECT_EQ(options.command, Options::Command::run);
  EXPECT_EQ(options.plugin, "./p.so");
  EXPECT_EQ(options.arguments, (Arguments{"size=1G", "[a,b]", "", "x=\n\xFF", "-"}));
}

TEST(Options, MayStandBeforeAndAfterThePlugin) {
  const Options options = parsed({"-r", "memory", "--seed=7", "1G", "--profile", "quick", "k=v"});
  EXPECT_TRUE(options.readonly);
  EXPECT_EQ(options.plugin, "memory");
  EXPECT_EQ(options.arguments, (Arguments{"1G", "k=v"}));
  EXPECT_EQ(options.seed, 7U);
  EXPECT_EQ(options.profile, Effort::quick);
}

TEST(Options, AllOfThem) {
  const Options options =
      parsed({"p", "--time=1.5", "--only=^data\\.", "--skip=[ab]", "--jobs=3", "--timeout=2",
              "--unstable-contents", "--persistence=per-connection", "--readonly", "--exportname=e",
              "--report=json:a:b", "--report=json:-", "--artifacts=dir", "--fail-on=quality",
              "--in-process", "--color=never", "--verbose", "--write-in-place",
              "--seed=18446744073709551615", "--nbdkit=/n", "--backing=a", "--backing=b"});
  EXPECT_EQ(options.backing, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(options.seconds, 1.5);
  EXPECT_EQ(options.only, "^data\\.");
  EXPECT_EQ(options.skip, "[ab]");
  EXPECT_EQ(options.jobs, 3U);
  EXPECT_EQ(options.timeout, 2.0);
  EXPECT_TRUE(options.unstable_contents && options.readonly && options.in_process &&
              options.verbose && options.write_in_place);
  EXPECT_EQ(options.persistence, Persistence::per_connection);
  EXPECT_EQ(options.export_name, "e");
  EXPECT_EQ(options.nbdkit, "/n");
  ASSERT_EQ(options.reports.size(), 2U);
  EXPECT_EQ(options.reports[0].path, "a:b");
  EXPECT_EQ(options.reports[1].path, "-");
  EXPECT_EQ(options.artifacts, "dir");
  EXPECT_EQ(options.fail_on, Severity::quality);
  EXPECT_EQ(options.color, Options::Color::never);
  EXPECT_EQ(options.seed, UINT64_MAX);
  EXPECT_EQ(parsed({"--seed=1", "p", "--seed=2"}).seed, 2U);
  EXPECT_EQ(parsed({"--exportname=", "p"}).plugin, "p");
  EXPECT_EQ(parsed({"p", "--quiet", "--quiet"}).quiet, true);
}

TEST(Options, Commands) {
  EXPECT_EQ(parsed({"list"}).command, Options::Command::list);
  const Options list = parsed({"list", "--rules", "--format=json"});
  EXPECT_EQ(list.listing, Options::Listing::rules);
  EXPECT_TRUE(list.list_as_json);
  EXPECT_EQ(parsed({"list", "--checks"}).listing, Options::Listing::checks);
  EXPECT_EQ(parsed({"list", "--checks", "--rules"}).listing, Options::Listing::all);
  EXPECT_EQ(parsed({"explain", "data.a"}).rule, "data.a");
  const Options replay = parsed({"--verbose", "replay", "a.plan", "--repeat=5"});
  EXPECT_EQ(replay.command, Options::Command::replay);
  EXPECT_EQ(replay.plan_file, "a.plan");
  EXPECT_EQ(replay.repeat, 5U);
}

TEST(Options, PluginsNamedLikeCommandsAreReachable) {
  EXPECT_EQ(parsed({"--", "list"}).plugin, "list");
  EXPECT_EQ(parsed({"./list"}).plugin, "./list");
  const Options options = parsed({"--quiet", "--", "replay", "--seed=1", "--", "x"});
  EXPECT_EQ(options.plugin, "replay");
  EXPECT_EQ(options.arguments, (Arguments{"--seed=1", "--", "x"}));
  EXPECT_EQ(parsed({"p", "--", "-x"}).arguments, Arguments{"-x"});
  EXPECT_EQ(parsed({"explain", "--", "list"}).rule, "list");
}

TEST(Options, HelpAndVersion) {
  for (const Arguments& arguments : {Arguments{"--help"}, Arguments{"p", "-h"}}) {
    const auto help = parse_options(arguments);
    ASSERT_FALSE(help.has_value());
    EXPECT_EQ(help.error().code, 0);
    EXPECT_FALSE(help.error().to_stderr);
    EXPECT_EQ(help.error().text, help_text());
  }
  EXPECT_TRUE(parse_options(Arguments{"--version"}).error().text.starts_with("nbdcheck "));
}

TEST(Options, HelpFitsTheScreenAndNamesEveryOption) {
  const std::string help = help_text();
  std::size_t begin = 0;
  while (begin < help.size()) {
    const std::size_t end = help.find('\n', begin);
    EXPECT_LE(end - begin, 80U) << help.substr(begin, end - begin);
    begin = end + 1;
  }
  for (const char* const option :
       {"--profile=",     "--time=",        "--seed=",          "--only=",
        "--skip=",        "--jobs=",        "--timeout=",       "--unstable-contents",
        "--persistence=", "-r, --readonly", "--exportname=",    "--report=",
        "--artifacts=",   "--fail-on=",     "--in-process",     "--color=",
        "--quiet",        "--verbose",      "--write-in-place", "--version",
        "--help",         "--repeat=",      "--target=",        "--nbdkit=",
        "--backing="}) {
    EXPECT_NE(help.find(option), std::string::npos) << option;
  }
}

TEST(Options, EveryMistakeIsOneClearLine) {
  const struct {
    Arguments arguments;
    std::string error;
  } mistakes[] = {
      {{}, "PLUGIN is missing; see nbdcheck --help"},
      {{""}, "PLUGIN is missing; see nbdcheck --help"},
      {{"--quiet", "--"}, "PLUGIN is missing; see nbdcheck --help"},
      {{"p", "--sede=1"}, "unknown option '--sede'; did you mean --seed?"},
      {{"p", "--frobnicate"}, "unknown option '--frobnicate'; see nbdcheck --help"},
      {{"p", "-x"}, "unknown option '-x'; see nbdcheck --help"},
      {{"p", "-1"}, "unknown option '-1'; see nbdcheck --help"},
      {{"p", "--\x1b[2J\n"}, "unknown option '--\\x1b[2J\\n'; see nbdcheck --help"},
      {{"p", "--seed"}, "option --seed needs a value"},
      {{"p", "--report"}, "option --report needs a value"},
      {{"p", "--quiet=yes"}, "option --quiet takes no value"},
      {{"p", "--seed=-1"}, "--seed is a number from 0 to 18446744073709551615, not '-1'"},
      {{"p", "--seed=x"}, "--seed is a number from 0 to 18446744073709551615, not 'x'"},
      {{"p", "--seed=", "7"}, "option --seed needs a value"},
      {{"p", "--seed= 1"}, "--seed is a number from 0 to 18446744073709551615, not ' 1'"},
      {{"p", "--seed=18446744073709551616"},
       "--seed is a number from 0 to 18446744073709551615, not '18446744073709551616'"},
      {{"p", "--jobs=0"}, "--jobs is a number from 1 to 1024, not '0'"},
      {{"p", "--time=nan"}, "--time is a positive number of seconds, or share, not 'nan'"},
      {{"p", "--time=inf"}, "--time is a positive number of seconds, or share, not 'inf'"},
      {{"p", "--time=0"}, "--time is a positive number of seconds, or share, not '0'"},
      {{"p", "--timeout=-3"}, "--timeout is a positive number of seconds, not '-3'"},
      {{"p", "--timeout=3s"}, "--timeout is a positive number of seconds, not '3s'"},
      {{"p", "--only=["}, "--only is not a valid regular expression: '['"},
      {{"p", "--skip=("}, "--skip is not a valid regular expression: '('"},
      {{"p", "--only="}, "option --only needs a value"},
      {{"p", "--only=" + std::string(100000, '(')},
       "--only is a regular expression of at most 1000 characters"},
      {{"p", "--profile=slow"}, "--profile is one of quick, standard, thorough, not 'slow'"},
      {{"p", "--persistence=yes"},
       "--persistence is one of auto, shared, per-connection, not 'yes'"},
      {{"p", "--fail-on=MUST"}, "--fail-on is one of must, should, quality, not 'MUST'"},
      {{"p", "--color=red"}, "--color is one of auto, always, never, not 'red'"},
      {{"p", "--report=out.json"}, "--report is FORMAT:FILE, not 'out.json'"},
      {{"p", "--report=json:"}, "--report is FORMAT:FILE, not 'json:'"},
      {{"p", "--report=xml:f"}, "unknown report format 'xml'; formats are: json, events"},
      {{"p", "--artifacts="}, "option --artifacts needs a value"},
      {{"p", "--backing="}, "option --backing needs a value"},
      {{"p", "--quiet", "--verbose"}, "--quiet and --verbose exclude each other"},
      {{"p", "--rules"}, "--rules goes with 'nbdcheck list'"},
      {{"p", "--format=json"}, "--format goes with 'nbdcheck list'"},
      {{"p", "--repeat=2"}, "--repeat goes with 'nbdcheck replay FILE.plan'"},
      {{"p", "--target=nbdkit"}, "--target goes with 'nbdcheck replay FILE.plan'"},
      {{"replay", "f", "--target=x"}, "--target is one of plugin, nbdkit, not 'x'"},
      {{"list", "x"}, "too many arguments: 'x'"},
      {{"list", "--format=xml"}, "--format is one of text, json, not 'xml'"},
      {{"explain"}, "'nbdcheck explain' needs RULE, the id of a rule"},
      {{"explain", "a", "b"}, "too many arguments: 'b'"},
      {{"replay"}, "'nbdcheck replay' needs FILE.plan"},
      {{"replay", "f", "--repeat=0"}, "--repeat is a number from 1 to 1000000, not '0'"},
  };
  for (const auto& mistake : mistakes) EXPECT_EQ(error_of(mistake.arguments), mistake.error);
}

}  // namespace
}  // namespace nbdcheck
