#include <gtest/gtest.h>

#include "job.hpp"
#include "report/event.hpp"

namespace nbdcheck {
namespace {

TEST(Names, AreTheWordsOfTheReport) {
  EXPECT_EQ(name(Severity::must), "MUST");
  EXPECT_EQ(name(Severity::quality), "QUALITY");
  EXPECT_EQ(name(Persistence::per_connection), "per-connection");
  EXPECT_EQ(name(Effort::thorough), "thorough");
  EXPECT_EQ(name(Status::skipped), "skipped");
  EXPECT_EQ(name(Verdict::nothing_checked), "nothing-checked");
}

TEST(ExitCode, FollowsTheVerdict) {
  RunSummary summary;
  summary.verdict = Verdict::conformant;
  EXPECT_EQ(summary.exit_code(), 0);
  summary.verdict = Verdict::nonconformant;
  EXPECT_EQ(summary.exit_code(), 1);
  summary.verdict = Verdict::error;
  EXPECT_EQ(summary.exit_code(), 3);
  summary.verdict = Verdict::nothing_checked;
  EXPECT_EQ(summary.exit_code(), 4);
}

TEST(Subject, KnowsItsCallbacksAndSmallestBlock) {
  Subject subject;
  subject.plugin.has = {"pread", "trim"};
  EXPECT_TRUE(subject.has("trim"));
  EXPECT_FALSE(subject.has("zero"));
  EXPECT_EQ(subject.minimum_block(), 1U);
  subject.info.block_size = BlockSize{512, 4096, 65536};
  EXPECT_EQ(subject.minimum_block(), 512U);
}

Job full_job() {
  Job job;
  job.kind = Job::Kind::plan;
  job.check = "data.random";
  job.request.plugin = "./p\xFF.so";
  job.request.arguments = {"a=\n\x01", "", " b "};
  job.request.export_name = "e\\x";
  job.request.readonly = true;
  job.request.unstable_contents = true;
  job.request.backing = {"disk", "log"};
  job.request.persistence = Persistence::per_connection;
  job.request.effort = Effort::thorough;
  job.request.seed = UINT64_MAX;
  job.request.atomic_consistency = true;
  job.request.nbdkit = "/usr/sbin/nbdkit";
  job.request.nbdkit_version = "1.32.5";
  job.request.no_nbdkit = "not installed";
  job.subject.plugin = {"/p", "n", "l", "v", "d", "h", 2, 384, 3, true, "file", {"open", "pread"}};
  job.subject.sha256 = "ab";
  job.subject.thread_model = ThreadModel::parallel;
  job.subject.info.name = "x";
  job.subject.info.description = "about";
  job.subject.info.size = INT64_MAX;
  job.subject.info.block_size = BlockSize{1, 2, UINT32_MAX};
  job.subject.info.can_write = true;
  job.subject.info.zero = zero_emulate;
  job.subject.info.fua = fua_native;
  job.subject.info.cache = cache_native;
  job.subject.persistence = Persistence::shared;
  job.subject.stable_contents = false;
  job.subject.external_storage = true;
  job.subject.connections_seen = 3;
  job.subject.more_wait = true;
  job.subject.nanoseconds_per_read = 99;
  job.subject.readable = false;
  job.subject.arguments = {"a=1"};
  job.subject.remarks = {"one", "two"};
  job.seconds = 0.1;
  job.operations = 1U << 30;
  job.plan_text = "nbdcheck-plan 1\n";
  job.log_path = "/tmp/log";
  job.second_probe = true;
  job.hold = 2.5;
  job.count_connections = true;
  job.where = Job::Where::nbdkit;
  job.script = "a.py";
  job.twice = true;
  job.second_arguments = {"b=2"};
  job.trial = true;
  return job;
}

TEST(Subject, RequestsKeepToWhatIsAnnounced) {
  Subject subject;
  EXPECT_EQ(subject.usual_request(), 4096U);
  EXPECT_EQ(subject.maximum_request(), 64U << 20);
  subject.info.block_size = BlockSize{1, 512, 512};
  EXPECT_EQ(subject.usual_request(), 512U);
  EXPECT_EQ(subject.maximum_request(), 512U);
  subject.info.block_size = BlockSize{65536, 65536, UINT32_MAX};
  EXPECT_EQ(subject.usual_request(), 65536U);
  EXPECT_EQ(subject.maximum_request(), 64U << 20);
}

TEST(Subject, SoManyConnectionsTogether) {
  Subject subject;
  subject.connections_seen = 2;
  subject.thread_model = ThreadModel::parallel;
  EXPECT_EQ(subject.together(3), 3U);
  subject.more_wait = true;
  EXPECT_EQ(subject.together(3), 2U);
  EXPECT_EQ(subject.together(1), 1U);
  subject.thread_model = ThreadModel::serialize_connections;
  EXPECT_EQ(subject.together(3), 1U);
}

TEST(JobJson, ComesBackTheSame) {
  const Job job = full_job();
  const std::string text = to_json(job);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  const auto back = job_from_json(text);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(to_json(*back), text);
  EXPECT_EQ(back->kind, Job::Kind::plan);
  EXPECT_EQ(back->request.plugin, job.request.plugin);
  EXPECT_EQ(back->request.arguments, job.request.arguments);
  EXPECT_EQ(back->request.seed, UINT64_MAX);
  EXPECT_EQ(back->subject.plugin.has, job.subject.plugin.has);
  EXPECT_EQ(back->subject.info.block_size->maximum, UINT32_MAX);
  EXPECT_EQ(back->subject.info.description, "about");
  EXPECT_EQ(back->seconds, 0.1);
  EXPECT_EQ(back->plan_text, job.plan_text);
  EXPECT_EQ(back->log_path, job.log_path);
  EXPECT_TRUE(back->second_probe);
  EXPECT_EQ(back->hold, 2.5);
  EXPECT_TRUE(back->count_connections);
  EXPECT_EQ(back->subject.connections_seen, 3U);
  EXPECT_TRUE(back->subject.more_wait);
  EXPECT_EQ(back->request.nbdkit, job.request.nbdkit);
  EXPECT_EQ(back->request.nbdkit_version, job.request.nbdkit_version);
  EXPECT_EQ(back->request.no_nbdkit, job.request.no_nbdkit);
  EXPECT_EQ(back->where, Job::Where::nbdkit);
  EXPECT_EQ(back->script, job.script);
  EXPECT_TRUE(back->twice);
  EXPECT_EQ(back->second_arguments, job.second_arguments);
  EXPECT_TRUE(back->trial);
}

TEST(JobJson, AbsentThingsStayAbsent) {
  const auto back = job_from_json(to_json(Job{}));
  ASSERT_TRUE(back.has_value());
  EXPECT_FALSE(back->subject.info.block_size.has_value());
  EXPECT_FALSE(back->subject.info.description.has_value());
}

TEST(JobJson, RefusesWhatItDidNotWrite) {
  const std::string good = to_json(full_job());
  EXPECT_FALSE(job_from_json("").has_value());
  EXPECT_FALSE(job_from_json("{}").has_value());
  EXPECT_FALSE(job_from_json("[1]").has_value());
  EXPECT_FALSE(job_from_json(good.substr(0, good.size() - 1)).has_value());
  for (const auto& [from, to] :
       {std::pair{"\"kind\":2", "\"kind\":5"}, std::pair{"\"kind\":2", "\"kind\":-1"},
        std::pair{"\"fua\":2", "\"fua\":\"2\""}, std::pair{"4294967295]", "4294967296]"},
        std::pair{"\"ab\"", "\"a\\\\q\""}, std::pair{"\"readonly\":true", "\"readonly\":1"}}) {
    std::string bad = good;
    const std::size_t at = bad.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    bad.replace(at, std::string_view(from).size(), to);
    EXPECT_FALSE(job_from_json(bad).has_value()) << to;
  }
}

}  // namespace
}  // namespace nbdcheck
