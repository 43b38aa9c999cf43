#include "nbdcheck/testing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <mutex>
#include <ostream>

#include "execute/incidents.hpp"
#include "nbdcheck/types.hpp"

namespace nbdcheck {
namespace {

constexpr std::size_t calls_remembered = 8;
constexpr std::size_t messages_remembered = 64;
constexpr std::uint64_t most_scrubbed = 32U << 20;
constexpr int patience_when_shrinking = 4;

std::string words(const std::string& plugin, const std::vector<std::string>& arguments) {
  return arguments.empty() ? plugin : fmt::format("{} {}", plugin, fmt::join(arguments, " "));
}

std::string flag_words(std::uint32_t flags) {
  std::string text;
  if ((flags & command_flag::fua) != 0) text += ", FUA";
  if ((flags & command_flag::no_hole) != 0) text += ", NO_HOLE";
  if ((flags & command_flag::fast_zero) != 0) text += ", FAST_ZERO";
  if ((flags & command_flag::req_one) != 0) text += ", REQ_ONE";
  return text;
}

}  // namespace

// Keeps what the plugin says, on whatever thread it says it.
class PluginUnderTest::Listener final : public Observer {
 public:
  void on_error(Callback where, std::string_view message) override {
    incidents.on_error(where, message);
    const std::lock_guard lock(mutex_);
    // The last ones are asked for, if any.
    if (messages_.size() == messages_remembered) messages_.erase(messages_.begin());
    messages_.emplace_back(message);
  }
  void on_incident(const Incident& incident) override { incidents.on_incident(incident); }
  std::vector<std::string> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(messages_, {});
  }

  IncidentCollector incidents;

 private:
  std::mutex mutex_;
  std::vector<std::string> messages_;
};

PluginUnderTest::PluginUnderTest(const std::string& plugin, std::vector<std::string> arguments,
                                 ServerOptions options)
    : listener_(std::make_unique<Listener>()), described_(words(plugin, arguments)) {
  auto server = Server::load(plugin, std::move(options), *listener_);
  if (!server) throw PluginError(fmt::format("{}: {}", described_, server.error().message));
  server_ = *std::move(server);
  start(std::move(arguments));
}

PluginUnderTest::PluginUnderTest(Plugin::InitFunction plugin_init,
                                 std::vector<std::string> arguments, ServerOptions options)
    : listener_(std::make_unique<Listener>()), described_(words("(linked in)", arguments)) {
  auto server = Server::adopt(plugin_init, std::move(options), *listener_);
  if (!server) throw PluginError(fmt::format("{}: {}", described_, server.error().message));
  server_ = *std::move(server);
  described_ = words(server_->plugin().facts().name, arguments);
  start(std::move(arguments));
}

void PluginUnderTest::start(std::vector<std::string> arguments) {
  const auto fail = [&](const Failure& failure) {
    const auto said = listener_->take();
    // nbdkit would exit now; a test program goes on, and may want another server.
    server_.reset();
    throw PluginError(fmt::format("{}: .{} failed: {}", described_, name(failure.where),
                                  said.empty() ? failure.message : said.back()));
  };
  if (const auto ok = server_->configure(arguments); !ok) fail(ok.error());
  if (const auto ok = server_->start(); !ok) fail(ok.error());
  arguments_ = std::move(arguments);
}

PluginUnderTest::~PluginUnderTest() {
  if (server_) server_->stop();
}

Client PluginUnderTest::connect(std::string_view export_name) {
  auto connection = server_->connect();
  if (!connection)
    throw PluginError(
        fmt::format("{}: the connection failed: {}", described_, connection.error().message));
  if (const auto ok = (*connection)->open(export_name); !ok) {
    const auto said = listener_->take();
    throw PluginError(fmt::format("{}: .{} failed: {}", described_, name(ok.error().where),
                                  said.empty() ? ok.error().message : said.back()));
  }
  return Client(*this, *std::move(connection));
}

const Subject& PluginUnderTest::subject() {
  if (!subject_) {
    Subject subject;
    subject.plugin = server_->plugin().facts();
    subject.thread_model = server_->thread_model();
    subject.info = connect().info();
    subject.arguments = arguments_;
    subject_ = std::move(subject);
  }
  return *subject_;
}

void PluginUnderTest::scrutinise(Scrutiny scrutiny) { scrutiny_ = std::move(scrutiny); }

void PluginUnderTest::forget_incidents() { listener_->incidents.forget(); }

std::optional<Violation> PluginUnderTest::noticed(std::optional<Violation> violation) {
  const auto counts = [&](const Violation& one) {
    return std::ranges::find(scrutiny_.ignored, one.rule) == scrutiny_.ignored.end();
  };
  if (scrutiny_.incidents && listener_->incidents.has_news())
    for (Violation& incident : listener_->incidents.take())
      if (counts(incident)) return std::move(incident);
  return violation && counts(*violation) ? std::move(violation) : std::nullopt;
}

PluginUnderTest::Judged PluginUnderTest::judge(std::span<const Operation> operations,
                                               int patience) {
  forget_incidents();
  InProcessTarget target(*server_);
  SequenceOptions options;
  options.rules.multi_conn = subject().info.advertises_multi_conn;
  // Whether another connection sees the same disk is for nbdcheck to probe; a
  // sequence on one of them need not know.
  options.rules.shared = options.rules.multi_conn;
  options.rules.reopens = std::ranges::any_of(operations, [](const Operation& op) {
    return op.connection != 0 || op.kind == OpKind::close;
  });
  options.patience = patience;
  options.buffers = scrutiny_.buffers;
  options.second_look = options.watch_reads = scrutiny_.second_look;
  if (options.second_look)
    options.last_error = [this] { return listener_->incidents.last_error(); };
  SequenceRunner runner(target, subject(), options);
  std::size_t number = 0;
  for (const Operation& op : operations) {
    ++number;
    if (op.kind != OpKind::open && op.kind != OpKind::close && !runner.is_open(op.connection)) {
      Operation open;
      open.kind = OpKind::open;
      open.connection = op.connection;
      if (auto violation = noticed(runner.step(open))) return {std::move(violation), number};
      if (!runner.is_open(op.connection))
        throw PluginError(fmt::format("{}: {}", described_, runner.open_failure()));
    }
    if (auto violation = noticed(runner.step(op))) return {std::move(violation), number};
  }
  return {std::nullopt, number};
}

// Zeroes where `operations` both change and read: what ran before must not show up in
// a smaller sequence that leaves out the write, for a fresh disk would not show it.
void PluginUnderTest::scrub(std::span<const Operation> operations) {
  InProcessTarget target(*server_);
  const auto session = target.open("");
  if (!session) return;
  std::uint64_t left = most_scrubbed;
  std::vector<std::byte> zeroes;
  for (const Operation& read : operations) {
    if (read.kind != OpKind::read) continue;
    for (const Operation& op : operations) {
      if (!modifies(op.kind)) continue;
      const std::uint64_t begin = std::max(op.offset, read.offset);
      const std::uint64_t end = std::min(op.offset + op.count, read.offset + read.count);
      if (begin >= end || end - begin > left) continue;
      left -= end - begin;
      zeroes.resize(std::max<std::size_t>(zeroes.size(), end - begin));
      static_cast<void>((*session)->write(std::span(zeroes).first(end - begin), begin, 0));
    }
  }
  if (subject().info.can_flush) static_cast<void>((*session)->flush());
}

RunOutcome PluginUnderTest::run(std::span<const Operation> operations) {
  RunOutcome outcome;
  outcome.plugin = described_;
  outcome.arguments = arguments_;
  Judged judged = judge(operations, SequenceOptions().patience);
  outcome.violation = std::move(judged.violation);
  outcome.operations.assign(operations.begin(),
                            operations.begin() + static_cast<std::ptrdiff_t>(judged.operations));
  outcome.original_operations = judged.operations;
  if (!outcome.violation) return outcome;
  Plan plan;
  plan.operations = outcome.operations;
  const Shrunk smaller =
      shrink(plan,
             [&](const Plan& candidate) {
               scrub(plan.operations);
               auto violation = judge(candidate.operations, patience_when_shrinking).violation;
               // Another rule will do: the shorter sequence may tell it more
               // plainly.
               if (!violation) return false;
               outcome.violation = std::move(violation);
               return true;
             },
             {.tries = 2000, .time = std::chrono::milliseconds(3000)});
  if (smaller.reproduced) outcome.operations = smaller.plan.operations;
  listener_->take();
  return outcome;
}

std::string RunOutcome::plan() const {
  Plan plan;
  plan.check = "data.random";
  plan.rule = violation ? violation->rule : "";
  plan.plugin = plugin.substr(0, plugin.find(' '));
  plan.arguments = arguments;
  plan.operations = operations;
  if (plan.operations.empty() || plan.operations.front().kind != OpKind::open)
    plan.operations.insert(plan.operations.begin(), Operation{.kind = OpKind::open});
  return to_text(plan);
}

Client::Client(PluginUnderTest& plugin, std::unique_ptr<Connection> connection)
    : plugin_(&plugin), connection_(std::move(connection)) {}

Outcome Client::call(OpKind kind, std::uint64_t offset, std::uint64_t count, std::uint32_t flags,
                     const std::function<Reply(Outcome&)>& make) {
  Outcome outcome;
  outcome.plugin = plugin_->described();
  outcome.call = kind == OpKind::flush ? std::string("flush()")
                                       : fmt::format("{}(offset={}, count={}{})", name(kind),
                                                     offset, count, flag_words(flags));
  outcome.before = calls_;
  plugin_->listener_->take();
  outcome.error = make(outcome).error;
  outcome.messages = plugin_->listener_->take();
  if (!outcome.ok()) outcome.data.clear();
  calls_.push_back(outcome.ok() ? outcome.call
                                : fmt::format("{}: {}", outcome.call, ::strerror(outcome.error)));
  if (calls_.size() > calls_remembered) calls_.erase(calls_.begin());
  return outcome;
}

Outcome Client::read(std::uint64_t offset, std::uint32_t count) {
  return call(OpKind::read, offset, count, 0, [&](Outcome& outcome) {
    // Not zeroes: what the plugin leaves alone must not look like an empty disk.
    outcome.data.assign(count, std::byte{0xd5});
    return connection_->read(outcome.data, offset);
  });
}

Outcome Client::write(std::uint64_t offset, std::span<const std::byte> data, std::uint32_t flags) {
  return call(OpKind::write, offset, data.size(), flags,
              [&](Outcome&) { return connection_->write(data, offset, flags); });
}

Outcome Client::write(std::uint64_t offset, std::string_view data, std::uint32_t flags) {
  return write(offset, std::as_bytes(std::span(data)), flags);
}

Outcome Client::flush() {
  return call(OpKind::flush, 0, 0, 0, [&](Outcome&) { return connection_->flush(); });
}

Outcome Client::trim(std::uint64_t offset, std::uint32_t count, std::uint32_t flags) {
  return call(OpKind::trim, offset, count, flags,
              [&](Outcome&) { return connection_->trim(count, offset, flags); });
}

Outcome Client::zero(std::uint64_t offset, std::uint32_t count, std::uint32_t flags) {
  return call(OpKind::zero, offset, count, flags,
              [&](Outcome&) { return connection_->zero(count, offset, flags); });
}

Outcome Client::cache(std::uint64_t offset, std::uint32_t count) {
  return call(OpKind::cache, offset, count, 0,
              [&](Outcome&) { return connection_->cache(count, offset); });
}

Outcome Client::extents(std::uint64_t offset, std::uint32_t count, std::uint32_t flags) {
  return call(OpKind::extents, offset, count, flags, [&](Outcome& outcome) {
    ExtentList list(offset, info().size);
    const Reply reply = connection_->extents(count, offset, flags, list);
    if (reply.ok()) outcome.extents.assign(list.extents().begin(), list.extents().end());
    return reply;
  });
}

std::string describe(const Outcome& outcome) {
  std::string text = fmt::format(
      "{} on {} {}", outcome.call, outcome.plugin,
      outcome.ok() ? "succeeded" : fmt::format("failed: {}", ::strerror(outcome.error)));
  for (const std::string& message : outcome.messages)
    text += fmt::format("\n  the plugin said: {}", message);
  if (!outcome.before.empty()) text += "\n  after:";
  for (const std::string& call : outcome.before) text += "\n    " + call;
  return text;
}

std::string describe(const RunOutcome& outcome) {
  if (outcome.ok())
    return fmt::format("{} operations on {}, all as they must be", outcome.operations.size(),
                       outcome.plugin);
  const Violation& violation = *outcome.violation;
  std::string text =
      fmt::format("{} broken by {}\n  {}", violation.rule, outcome.plugin, violation.message);
  text += fmt::format("\n  {} calls, shrunk from {}:", outcome.operations.size(),
                      outcome.original_operations);
  for (const Operation& op : outcome.operations) text += "\n    " + describe(op);
  if (!violation.expected.empty()) text += "\n  expected: " + violation.expected;
  if (!violation.actual.empty()) text += "\n  actual:   " + violation.actual;
  for (const std::string& line : violation.details) text += "\n  " + line;
  return text;
}

void PrintTo(const Outcome& outcome, std::ostream* out) { *out << describe(outcome); }
void PrintTo(const RunOutcome& outcome, std::ostream* out) { *out << describe(outcome); }

namespace {

Generator generator(const Subject& subject, std::uint64_t seed) {
  const ExportInfo& info = subject.info;
  Aim aim;
  aim.size = info.size;
  aim.block = subject.minimum_block();
  aim.can_fua = info.can_write && info.fua != fua_none;
  aim.can_fast_zero = info.can_fast_zero;
  aim.typical_length = std::max<std::uint64_t>(4096, aim.block);
  if (info.block_size && info.block_size->maximum != 0)
    aim.max_request = std::min<std::uint64_t>(info.block_size->maximum, max_request_size);
  Mix mix;
  mix.read = 8;
  if (info.can_write) {
    mix.write = 8;
    if (info.zero != zero_none) mix.zero = 2;
    if (info.can_trim) mix.trim = 2;
    if (info.can_flush) mix.flush = 1;
  }
  if (info.cache != cache_none) mix.cache = 1;
  if (info.can_extents && subject.has("extents")) mix.extents = 1;
  return Generator(aim, mix, seed);
}

}  // namespace

std::vector<Operation> random_operations(const Subject& subject, std::size_t count,
                                         std::uint64_t seed) {
  std::vector<Operation> operations;
  if (subject.info.size < subject.minimum_block()) return operations;
  Generator next = generator(subject, seed);
  while (operations.size() < count) operations.push_back(next.next());
  return operations;
}

Operation random_operation(const Subject& subject, std::uint64_t seed) {
  Operation op = generator(subject, seed).next();
  // Each comes from a generator of its own, where it is the first.
  op.tag = static_cast<std::uint32_t>(seed % 0xffff'fff0U) + 1;
  return op;
}

}  // namespace nbdcheck
