#include "checks/watched_plugin.hpp"
#include "execute/send.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "checks/backing_roots.hpp"
#include "model/tags.hpp"

namespace nbdcheck {

std::vector<Place> spread_places(const Subject& subject, std::size_t most) {
  const std::uint64_t block = subject.minimum_block();
  const std::uint64_t size = subject.info.size / block * block;
  const std::uint64_t count = std::min(size, subject.usual_request());
  std::vector<Place> places;
  if (count == 0 || count > max_request_size) return places;
  const std::uint64_t number = std::min<std::uint64_t>(most, size / count);
  for (std::uint64_t i = 0; i < number; ++i) {
    const std::uint64_t step = number == 1 ? 0 : (size - count) / (number - 1) / count * count;
    const std::uint64_t offset = i + 1 == number && i > 0 ? size - count : i * step;
    if (places.empty() || offset >= places.back().offset + count)
      places.push_back({offset, static_cast<std::uint32_t>(count)});
  }
  return places;
}

Reply perform(Connection& connection, const Operation& op) {
  std::vector<std::byte> data(op.kind == OpKind::write ? op.count : 0);
  fill_tags(data, op.offset, op.tag);
  return send(connection, op, data, connection.export_info().size);
}

bool WatchedPlugin::serve(bool reads, const std::function<void()>& body) {
  const auto roots = backing_roots(run_);
  if (roots.empty()) {
    run_.not_applicable("no argument names a file");
    return false;
  }
  places_ = spread_places(run_.subject(), 12);
  if (places_.empty()) {
    run_.not_applicable("no room for a request");
    return false;
  }
  auto watch = FileCallWatch::start(
      {.roots = roots,
       .recognise = [this](std::span<const std::byte> bytes) { return finder_.find(bytes); },
       .reads = reads});
  if (watch) {
    watch_ = std::move(*watch);
    bool served = false;
    const auto ran = watch_->run([&] {
      server_ = run_.serve();
      if (!server_) return;
      served = true;
      body();
      server_->stop();
      server_.reset();
    });
    if (ran) return served;
    run_.unknown("system calls cannot be watched here: " + ran.error());
  } else {
    run_.unknown("system calls cannot be watched here: " + watch.error());
  }
  return false;
}

Operation WatchedPlugin::write(std::uint64_t offset, std::uint32_t count, std::uint32_t flags) {
  Operation op{.kind = OpKind::write};
  op.offset = offset;
  op.count = count;
  op.flags = static_cast<std::uint8_t>(flags);
  op.tag = next_tag_++;
  return op;
}

bool WatchedPlugin::request(Client& client, Operation op) {
  if (op.kind == OpKind::write) finder_.add(op.tag, op.offset, op.count);
  DurableRequest request{.operation = op};
  request.begin = watch_->mark();
  client.run([&](Connection& connection) { request.ok = perform(connection, op).ok(); });
  request.end = watch_->mark();
  run_.count_operations(1);
  if (request.ok && op.kind == OpKind::write) look_into_mappings(request);
  requests_.push_back(std::move(request));
  return requests_.back().ok;
}

bool WatchedPlugin::all_written(const Operation& op, std::size_t from) const {
  std::vector<std::pair<std::uint64_t, std::uint64_t>> parts;
  const auto calls = watch_->calls();
  for (const FileCall& call : std::span(calls).subspan(std::min(from, calls.size())))
    for (const Piece& piece : call.pieces)
      if (piece.name == op.tag) parts.emplace_back(piece.place, piece.place + piece.size);
  std::ranges::sort(parts);
  // Words of which another call, or nobody, writes a part are not recognised.
  constexpr std::uint64_t parts_of_words = 64;
  std::uint64_t at = op.offset;
  std::uint64_t missing = 0;
  for (const auto& [begin, end] : parts) {
    if (begin > at) missing += begin - at;
    at = std::max(at, end);
  }
  const std::uint64_t end = op.offset + op.count;
  return missing + (end > at ? end - at : 0) <= parts_of_words;
}

// What a plugin stores through a mapping makes no call; but it is in the file
// at once.
void WatchedPlugin::look_into_mappings(DurableRequest& request) {
  constexpr std::size_t most = 16U << 20;
  const auto calls = watch_->calls();
  std::set<int> mapped;
  for (const FileCall& call : calls) {
    if (call.kind == FileCall::Kind::map) mapped.insert(call.file);
    // Written by calls: those tell more.
    for (const Piece& piece : call.pieces)
      if (piece.name == request.operation.tag) return;
  }
  if (mapped.empty()) return;
  const auto files = watch_->files();
  for (const int number : mapped) {
    const WatchedFile& file = files[static_cast<std::size_t>(number)];
    if (!file.backing) continue;
    const int fd = ::open(file.path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    std::vector<std::byte> bytes;
    off_t at = 0;
    // Mostly a disk lies in its file as it is.  Else from the start on.
    for (const off_t from : {static_cast<off_t>(request.operation.offset), off_t{0}}) {
      at = ::lseek(fd, from, SEEK_DATA);
      if (at < 0) continue;
      bytes.resize(from == 0 ? most : request.operation.count);
      const ssize_t got = ::pread(fd, bytes.data(), bytes.size(), at);
      bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
      bool found = false;
      for (Piece& piece : finder_.find(bytes)) {
        if (piece.name != request.operation.tag) continue;
        piece.at += static_cast<std::uint64_t>(at);
        request.stores.push_back({number, piece});
        found = true;
      }
      if (found) break;
    }
    ::close(fd);
  }
}

std::string WatchedPlugin::cannot_judge() const {
  if (!watch_->complete()) return "the plugin closed the descriptor that its calls are watched by";
  const auto calls = watch_->calls();
  const auto opaque = std::ranges::find(calls, FileCall::Kind::opaque, &FileCall::kind);
  if (opaque != calls.end())
    return "the plugin writes in a way that cannot be watched: " + opaque->text;
  return "";
}

bool WatchedPlugin::wrote_to_files() const {
  return reached_files(requests_, watch_->calls(), watch_->files());
}

}  // namespace nbdcheck
