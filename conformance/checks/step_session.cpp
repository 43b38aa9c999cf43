#include "checks/step_session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "checks/lock_words.hpp"
#include "checks/struct_fields.hpp"
#include "execute/send.hpp"
#include "model/tags.hpp"
#include "nbdcheck/status_page.hpp"

namespace nbdcheck {
namespace {

constexpr std::uint32_t tag_before = 1;
constexpr std::uint32_t tag_a = 2;
constexpr std::uint32_t tag_b = 3;
constexpr std::uint32_t tag_extra = 4;
constexpr std::uint32_t extent_zero = 2;  // NBDKIT_EXTENT_ZERO

std::string call_text(const CollisionOp& op) {
  switch (op.kind) {
    case OpKind::open:
      return "opening a connection";
    case OpKind::close:
      return "closing a connection";
    case OpKind::flush:
      return "flush";
    default:
      return fmt::format("{}(offset={}, count={})", name(op.kind), op.offset, op.count);
  }
}

}  // namespace

StepSession::StepSession(CheckRun& run, const StepSpace& space, StepPair pair)
    : run_(run), space_(space), pair_(pair), known_(space.areas) {}

// Whatever is stuck stays as it is; this process is about to end.
StepSession::~StepSession() {
  for (auto& thread : threads_) (void)thread.release();
  for (auto& thread : homes_) (void)thread.release();
  for (auto& connection : connections_) (void)connection.release();
  for (auto& connection : extra_) (void)connection.release();
  (void)locks_.release();
  (void)server_.release();
}

bool StepSession::begin() {
  auto server = Server::load(run_.request().plugin, run_.server_options(), run_.incidents());
  if (!server) {
    why_ = server.error().message;
    return false;
  }
  server_ = std::move(*server);
  if (const auto ok = server_->configure(run_.request().arguments); !ok) {
    why_ = ok.error().message;
    return false;
  }
  if (const auto ok = server_->start(); !ok) {
    why_ = ok.error().message;
    return false;
  }
  const PluginStruct& table = server_->plugin().callbacks();
  const auto entries = callbacks_of(table, while_connected);
  Code code = Code::of_plugin(entries.empty() ? nullptr : entries.front());
  why_ = code.opaque();
  opaque_ = !why_.empty();
  if (opaque_) return false;
  auto stepper = Stepper::attach(std::move(code), entries);
  if (!stepper) {
    why_ = stepper.error();
    opaque_ = true;
    return false;
  }
  stepper_ = std::move(*stepper);
  locks_ = std::make_unique<LockWatch>(stepper_->code());
  for (auto& thread : homes_) thread = std::make_unique<StepThread>();
  for (auto& thread : threads_) thread = std::make_unique<StepThread>();
  return open_connections();
}

void StepSession::use(const StepPair& pair) {
  pair_ = pair;
  known_.assign(space_.areas, {});
}

std::unique_ptr<Connection> StepSession::opened() {
  auto connection = server_->connect();
  if (!connection) {
    why_ = connection.error().message;
    return nullptr;
  }
  if (const auto info = (*connection)->open(run_.request().export_name); !info) {
    why_ = info.error().message;
    return nullptr;
  }
  return std::move(*connection);
}

bool StepSession::open_connections() {
  for (std::size_t i = 0; i < (pair_.two_handles ? 2U : 1U); ++i) {
    homes_[i]->run([this, i] { connections_[i] = opened(); });
    if (!connections_[i]) return false;
  }
  return true;
}

// nbdkit has a pool of threads for requests under PARALLEL only.
StepThread& StepSession::thread(std::size_t side) {
  const OpKind kind = (side == 0 ? pair_.a : pair_.b).kind;
  const bool pool = server_->thread_model() == ThreadModel::parallel;
  return pool || kind == OpKind::open || kind == OpKind::close ? *threads_[side] : *homes_[side];
}

void StepSession::close_all() {
  for (std::size_t i = 0; i < 2; ++i) {
    threads_[i]->run([this, i] { extra_[i].reset(); });
    homes_[i]->run([this, i] { connections_[i].reset(); });
  }
}

std::string StepSession::place(const Meeting& meeting) const {
  const Code& code = stepper_->code();
  std::string text = code.source(meeting.point.address);
  if (const std::string offset = code.place(meeting.point.address); offset != text)
    text += ", " + offset;
  if (meeting.point.occurrence > 1) text += fmt::format(", pass {}", meeting.point.occurrence);
  return text;
}

std::vector<std::string> StepSession::deadlock() const {
  std::vector<std::string> lines;
  for (const LockCycle& cycle : locks_->deadlocks())
    for (std::string& line : deadlock_words(cycle, stepper_->code()))
      lines.push_back(std::move(line));
  return lines;
}

void StepSession::end() {
  close_all();
  for (auto& thread : homes_) thread.reset();
  for (auto& thread : threads_) thread.reset();
  locks_.reset();
  stepper_.reset();
  server_->stop();
  server_.reset();
}

// --- areas -------------------------------------------------------------------

// Requests larger than an area have the one place.
std::uint64_t StepSession::start_of(const StepRequest& request, std::uint64_t area) const {
  if (!request.far) return area * space_.span;
  return space_.far + (request.count > space_.span ? 0 : area * space_.span);
}

CollisionOp StepSession::operation(const StepRequest& request, std::uint64_t area,
                                   std::uint32_t tag) const {
  CollisionOp op;
  op.kind = request.kind;
  op.offset = start_of(request, area) + request.offset;
  op.count = request.count;
  if (op.kind == OpKind::write || op.kind == OpKind::read) op.data.resize(op.count);
  if (op.kind == OpKind::write) fill_tags(op.data, op.offset, tag);
  return op;
}

// What the two touch, and a block on either side.
std::vector<CollisionRange> StepSession::extent_of(std::uint64_t area) const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> pieces;
  for (const StepRequest& request : {pair_.a, pair_.b}) {
    if (request.count == 0) continue;
    const std::uint64_t start = start_of(request, area);
    const std::uint64_t begin = request.offset / space_.block * space_.block;
    const std::uint64_t end =
        (request.offset + request.count + space_.block - 1) / space_.block * space_.block;
    pieces.emplace_back(start + (begin >= space_.block ? begin - space_.block : begin),
                        start + std::min(end + space_.block, std::max(end, space_.span)));
  }
  std::sort(pieces.begin(), pieces.end());
  std::vector<CollisionRange> result;
  std::uint64_t end = 0;
  for (const auto& piece : pieces) {
    if (result.empty() || piece.first > end) {
      result.push_back({piece.first, {}, {}});
      end = piece.first;
    }
    if (piece.second <= end) continue;
    result.back().after.resize(piece.second - result.back().offset);
    end = piece.second;
  }
  return result;
}

void StepSession::fill(std::vector<CollisionRange>& ranges) {
  Connection& connection = *connections_[0];
  const std::uint64_t piece = pair_.small_fill ? 2 * space_.unit : space_.longest;
  for (CollisionRange& range : ranges) {
    range.before.resize(range.after.size());
    fill_tags(range.before, range.offset, tag_before);
    bool ok = true;
    const std::span<const std::byte> data(range.before);
    for (std::uint64_t at = 0; at < data.size(); at += piece) {
      const auto part = data.subspan(at, std::min<std::uint64_t>(piece, data.size() - at));
      ok = connection.write(part, range.offset + at).ok() && ok;
    }
    if (!ok) range.before.clear();
  }
  if (pair_.two_handles && connection.export_info().can_flush) connection.flush();
}

bool StepSession::read(Connection& connection, CollisionRange& range) const {
  const std::span<std::byte> data(range.after);
  bool ok = true;
  for (std::uint64_t at = 0; at < data.size(); at += space_.longest) {
    const auto part = data.subspan(at, std::min<std::uint64_t>(space_.longest, data.size() - at));
    ok = connection.read(part, range.offset + at).ok() && ok;
  }
  return ok;
}

std::vector<CollisionRange> StepSession::look(std::uint64_t area) {
  auto result = extent_of(area);
  homes_[0]->run([&] {
    for (CollisionRange& range : result) {
      if (read(*connections_[0], range)) range.before = range.after;
    }
  });
  return result;
}

void StepSession::know(std::uint64_t area, std::vector<CollisionRange> before) {
  known_[area] = std::move(before);
}

void StepSession::prepare(std::uint64_t area, std::vector<CollisionRange>& ranges) {
  ranges = extent_of(area);
  if (pair_.state == StepState::filled && run_.subject().info.can_write) {
    homes_[0]->run([&] { fill(ranges); });
  } else if (!known_[area].empty()) {
    ranges = known_[area];
  } else if (pair_.state == StepState::filled) {
    ranges = look(area);
    known_[area] = ranges;
  }
  for (std::size_t i = 0; i < 2; ++i) {
    if ((i == 0 ? pair_.a : pair_.b).kind == OpKind::close)
      threads_[i]->run([&] { extra_[i] = opened(); });
  }
}

// --- meetings ----------------------------------------------------------------

void StepSession::perform(std::size_t side, CollisionOp& op, ExtentList& list) {
  if (op.kind == OpKind::open) {
    extra_[side] = opened();
    op.succeeded = extra_[side] != nullptr;
    return;
  }
  if (op.kind == OpKind::close) {
    extra_[side].reset();
    return;
  }
  Connection& connection = connections_[1] && side == 1 ? *connections_[1] : *connections_[0];
  Operation request{.kind = op.kind, .count = op.count};
  request.offset = op.offset;
  const Reply reply = send(connection, request, op.data, list);
  op.succeeded = reply.ok();
}

Recording StepSession::record(std::uint64_t area) {
  std::vector<CollisionRange> ranges;
  if (pair_.state != StepState::first_use) prepare(area, ranges);
  CollisionOp op = operation(pair_.a, area, tag_a);
  ExtentList list(op.offset, run_.subject().info.size);
  Recording recording = stepper_->record(thread(0), [&] { perform(0, op, list); });
  close_extra();
  return recording;
}

void StepSession::close_extra() {
  for (std::size_t i = 0; i < 2; ++i)
    if (extra_[i]) threads_[i]->run([this, i] { extra_[i].reset(); });
}

// Connections that were opened serve like any other: what one of them writes
// and flushes is there for all when it has been closed.
std::optional<Clash> StepSession::use_extra(std::uint64_t area,
                                            std::vector<CollisionRange>& ranges) {
  std::optional<Clash> clash;
  const ExportInfo& info = run_.subject().info;
  for (std::size_t i = 0; i < 2; ++i) {
    if (!extra_[i]) continue;
    // Where neither A nor B has anything to do.
    CollisionRange range{area * space_.span + (2 + i) * space_.block, {}, {}};
    range.after.resize(space_.unit);
    const bool shared = run_.subject().persistence == Persistence::shared;
    bool judged = false;
    threads_[i]->run([&] {
      if (info.can_write) {
        range.before.resize(space_.unit);
        fill_tags(range.before, range.offset, tag_extra);
        judged = extra_[i]->write(range.before, range.offset).ok();
      }
      extra_[i]->read(range.after, range.offset);
    });
    judged = judged && shared && info.can_flush;
    if (judged && info.advertises_multi_conn) {
      // The flush of one is that of all.
      homes_[0]->run([&] {
        judged =
            connections_[0]->flush().ok() && connections_[0]->read(range.after, range.offset).ok();
      });
      if (judged && range.after != range.before && !clash)
        clash = {Clash::Kind::wrong,
                 fmt::format("What one of these connections then wrote at offset {} was not there "
                             "after a flush.",
                             range.offset),
                 "what was written", "other data"};
    } else if (judged) {
      threads_[i]->run([&] { judged = extra_[i]->flush().ok(); });
    }
    if (!judged) range.before.clear();
    ranges.push_back(std::move(range));
  }
  return clash;
}

// With two connections what one of them wrote shows on the other after a flush,
// or on one that is opened later.
void StepSession::settle() {
  for (std::size_t i = 0; i < 2; ++i) {
    if (!connections_[i]) continue;
    homes_[i]->run([&] {
      if (connections_[i]->export_info().can_flush) connections_[i]->flush();
    });
  }
  if (run_.subject().info.advertises_multi_conn) return;
  for (std::size_t i = 0; i < 2; ++i) homes_[i]->run([&] { connections_[i].reset(); });
  open_connections();
}

void StepSession::read_back(std::vector<CollisionRange>& ranges) {
  close_extra();
  const bool shared = run_.subject().persistence == Persistence::shared;
  if (pair_.two_handles || (pair_.opens() && shared)) settle();
  if (!connections_[0]) {
    for (CollisionRange& range : ranges) range.after.clear();
    return;
  }
  homes_[0]->run([&] {
    for (CollisionRange& range : ranges)
      if (!read(*connections_[0], range)) range.after.clear();
  });
}

StepSession::Scene StepSession::scene(std::uint64_t area) {
  Scene scene;
  prepare(area, scene.ranges);
  scene.ops = {operation(pair_.a, area, tag_a), operation(pair_.b, area, tag_b)};
  for (const CollisionOp& op : scene.ops)
    scene.lists.emplace_back(op.offset, run_.subject().info.size);
  return scene;
}

std::optional<Clash> StepSession::judge(std::uint64_t area, Scene& scene) {
  std::optional<Clash> clash = use_extra(area, scene.ranges);
  read_back(scene.ranges);
  return clash ? clash : judge(scene);
}

Meeting StepSession::meet(std::uint64_t area, StepPoint point) {
  Scene scene = this->scene(area);
  Meeting meeting;
  meeting.area = area;
  meeting.requests = {call_text(scene.ops[0]), call_text(scene.ops[1])};
  meeting.point = point;
  meeting.outcome = stepper_->explore(
      point, thread(0), [&] { perform(0, scene.ops[0], scene.lists[0]); }, thread(1),
      [&] { perform(1, scene.ops[1], scene.lists[1]); });
  if (meeting.outcome.a_stuck || meeting.outcome.b_stuck) return meeting;
  if (meeting.outcome.reached)
    meeting.clash = judge(area, scene);
  else
    close_extra();
  return meeting;
}

bool StepSession::wrong_in_turn(std::uint64_t area) {
  Scene scene = this->scene(area);
  for (const std::size_t side : {std::size_t{0}, std::size_t{1}})
    thread(side).run([&] { perform(side, scene.ops[side], scene.lists[side]); });
  return judge(area, scene).has_value();
}

std::optional<Clash> StepSession::judge(Scene& scene) const {
  std::array<CollisionOp, 2>& ops = scene.ops;
  static const std::array<std::string, 2> names{"A", "B"};
  const Subject& subject = run_.subject();
  if (!subject.stable_contents || run_.request().unstable_contents) return std::nullopt;
  if (pair_.two_handles) {
    if (subject.persistence != Persistence::shared) return std::nullopt;
    // What a connection reads of another's writes is nobody's promise.
    if (!subject.info.advertises_multi_conn)
      for (CollisionOp& op : ops)
        if (op.kind == OpKind::read) op.succeeded = false;
  }
  if (auto clash = judge_collision(ops, names, scene.ranges)) return clash;
  // Data that were there all the time are not to be told as zeroes.
  for (std::size_t i = 0; i < 2; ++i) {
    const CollisionOp& other = ops[1 - i];
    if (ops[i].kind != OpKind::extents || !ops[i].succeeded || !subject.info.can_write ||
        pair_.state != StepState::filled || pair_.two_handles || other.kind == OpKind::trim ||
        other.kind == OpKind::zero)
      continue;
    for (const Extent& extent : scene.lists[i].extents()) {
      if ((extent.type & extent_zero) == 0 || extent.offset >= ops[i].offset + ops[i].count)
        continue;
      Clash clash;
      clash.message = fmt::format("{} told of zeroes at offset {}, where data had been written.",
                                  names[i], extent.offset);
      clash.expected = "no NBDKIT_EXTENT_ZERO there";
      return clash;
    }
  }
  return std::nullopt;
}

}  // namespace nbdcheck
