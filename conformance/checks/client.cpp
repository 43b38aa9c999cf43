#include "checks/client.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace nbdcheck {

bool Client::connect() {
  lane_.run([&] {
    auto connection = server_.connect();
    if (connection)
      connection_ = std::move(*connection);
    else
      failure_ = std::move(connection.error());
  });
  return connection_ != nullptr;
}

bool Client::open(const std::string& export_name) {
  if (!connection_ && !connect()) return false;
  bool opened = false;
  lane_.run([&] {
    auto info = connection_->open(export_name);
    opened = info.has_value();
    if (!opened) failure_ = std::move(info.error());
  });
  return opened;
}

bool Client::open_at_last(const std::string& export_name) {
  for (int tries = 1; !open(export_name); ++tries) {
    if (tries == open_tries) return false;
    close();
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

void Client::close() {
  if (connection_) lane_.run([&] { connection_.reset(); });
}

void Client::run(const std::function<void(Connection&)>& work) {
  lane_.run([&] { work(*connection_); });
}

Reply Client::read(std::span<std::byte> buffer, std::uint64_t offset) {
  Reply reply;
  lane_.run([&] { reply = connection_->read(buffer, offset); });
  return reply;
}

Reply Client::write(std::span<const std::byte> buffer, std::uint64_t offset) {
  Reply reply;
  lane_.run([&] { reply = connection_->write(buffer, offset); });
  return reply;
}

Reply Client::flush() {
  Reply reply;
  lane_.run([&] { reply = connection_->flush(); });
  return reply;
}

Reply Client::zero(std::uint32_t count, std::uint64_t offset, std::uint32_t flags) {
  Reply reply;
  lane_.run([&] { reply = connection_->zero(count, offset, flags); });
  return reply;
}

std::vector<Place> sample_places(const Subject& subject) {
  const std::uint64_t block = subject.minimum_block();
  const std::uint64_t size = subject.info.size / block * block;
  const std::uint64_t count = std::min(size, subject.usual_request());
  std::vector<Place> places;
  if (count == 0) return places;
  for (const std::uint64_t offset : {std::uint64_t{0}, size / 2 / block * block, size - count})
    if (places.empty() || offset >= places.back().offset + count)
      if (offset + count <= size) places.push_back({offset, static_cast<std::uint32_t>(count)});
  return places;
}

}  // namespace nbdcheck
