#include "report/nbdsh.hpp"

#include <gtest/gtest.h>

#include <string>

namespace nbdcheck {
namespace {

Finding found(const std::string& rule) {
  Finding finding;
  finding.rule = rule;
  finding.title = "a \"title\"";
  finding.message = "what \\ happened";
  return finding;
}

Plan plan_of(std::vector<Operation> operations) {
  Plan plan;
  plan.plugin = "./p.so";
  plan.arguments = {"file=/tmp/a b.img", "key=\"\\\n\xff"};
  plan.operations = std::move(operations);
  return plan;
}

NbdshContext context() {
  NbdshContext made;
  made.directory = "/home/somebody";
  made.arguments = {{"file=", "/tmp/a b.img"}, {"key=\"\\\n\xff", ""}};
  made.shared = true;
  return made;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST(NbdshScript, HasTheOperationsAsCalls) {
  Operation write{.kind = OpKind::write, .flags = command_flag::fua};
  write.offset = 512;
  write.count = 1024;
  write.tag = 7;
  Operation ones = write;
  ones.payload = Payload::ones;
  ones.flags = 0;
  Operation zero{.kind = OpKind::zero,
                 .connection = 1,
                 .flags = command_flag::fast_zero | command_flag::no_hole};
  zero.count = 4096;
  const std::string script =
      nbdsh_script(found("data.read-your-writes"),
                   plan_of({{.kind = OpKind::open}, write, ones, zero}), context());
  EXPECT_TRUE(has(script, "    disk.open(0)\n"));
  EXPECT_TRUE(has(script, "    disk.write(0, 512, 1024, tag=7, flags=FUA)\n"));
  EXPECT_TRUE(has(script, "    disk.write(0, 512, 1024, tag=7, fill=0xff)\n"));
  EXPECT_TRUE(has(script, "    disk.zero(1, 0, 4096, flags=NO_HOLE | FAST_ZERO)\n"));
  EXPECT_TRUE(has(script, "SHARED = True"));
  EXPECT_TRUE(has(script, "    operations(disk)\n"));
}

TEST(NbdshScript, CopiesFilesAndQuotesWhatItNames) {
  const std::string script =
      nbdsh_script(found("data.read-your-writes"), plan_of({{.kind = OpKind::open}}), context());
  EXPECT_TRUE(has(script, "    (\"file=\", \"/tmp/a b.img\"),  # of this file, a copy\n"));
  EXPECT_TRUE(has(script, "    os.fsdecode(b\"key=\\\"\\\\\\x0a\\xff\"),\n"))
      << script.substr(0, 1500);
  EXPECT_TRUE(has(script, "DIRECTORY = \"/home/somebody\""));
  // Nothing of the finding's ends the docstring or escapes.
  EXPECT_TRUE(script.starts_with("#!/usr/bin/python3\n\"\"\"data.read-your-writes: "));
  EXPECT_TRUE(has(script, "what / happened"));
  EXPECT_TRUE(has(script, "nbdkit -f -U SOCKET ./p.so"));
}

TEST(NbdshScript, NamesThePluginAsNbdkitTakesIt) {
  for (const auto& [given, wanted] :
       {std::pair{"plugin.so", "./plugin.so"}, std::pair{"dir/plugin.so", "dir/plugin.so"},
        std::pair{"memory", "memory"}}) {
    Plan plan = plan_of({{.kind = OpKind::open}});
    plan.plugin = given;
    const std::string script = nbdsh_script(found("data.read-your-writes"), plan, context());
    EXPECT_TRUE(has(script, std::string("PLUGIN = \"") + wanted + "\"\n")) << given;
  }
}

TEST(NbdshScript, SomeRulesHaveTheirOwnWay) {
  const std::string script = nbdsh_script(found("data.buffer-filled"), plan_of({}), context());
  EXPECT_TRUE(has(script, "OPTIONS = [\"-t\", \"1\"]"));
  EXPECT_TRUE(has(script, "    unfilled_buffer(disk)\n"));
  Plan plan = plan_of({});
  plan.readonly = true;
  EXPECT_TRUE(has(nbdsh_script(found("size.value"), plan, context()), "OPTIONS = [\"-r\"]"));
}

TEST(NbdshScript, SaysWhyThereIsNone) {
  const Plan some = plan_of({{.kind = OpKind::open}});
  const Plan none = plan_of({});
  EXPECT_EQ(why_not_over_nbd(found("data.read-your-writes"), some), "");
  EXPECT_NE(why_not_over_nbd(found("data.read-your-writes"), none), "");
  EXPECT_EQ(why_not_over_nbd(found("capability.stable"), none), "");
  EXPECT_EQ(why_not_over_nbd(found("process.crash"), some), "");
  Finding crash = found("process.crash");
  crash.check = "config.values";
  EXPECT_NE(why_not_over_nbd(crash, none), "");
  crash.check = "probe";
  EXPECT_EQ(why_not_over_nbd(crash, none), "");
  for (const char* const rule : {"data.buffer-kept", "flush.durable", "lifecycle.fork", "abi.name",
                                 "config.help", "process.threads", "hang.growth"})
    EXPECT_NE(why_not_over_nbd(found(rule), some), "") << rule;
  EXPECT_NE(why_not_over_nbd(found("data.read-your-writes"),
                             plan_of(std::vector<Operation>(5001, Operation{}))),
            "");
}

}  // namespace
}  // namespace nbdcheck
