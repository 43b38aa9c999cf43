// What our target costs: 4 KiB reads of the real nbdkit through NbdkitSession,
// and through a plain loop over libnbd, at the same depth, in turns.
//
// nbdkit_bench PLUGIN [key=value ...]
//
// Prints "plain N", "target N" (medians, operations per second) and "share P".
#include <fmt/format.h>
#include <libnbd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "nbdcheck/nbdkit.hpp"
#include "plan/random.hpp"

namespace {

using namespace nbdcheck;

constexpr std::size_t request = 4096;
constexpr std::size_t depth = 16;
constexpr std::size_t operations = 10'000;
constexpr int turns = 25;

[[noreturn]] void give_up(const std::string& why) {
  fmt::print(stderr, "nbdkit_bench: {}\n", why);
  std::exit(2);
}

std::vector<std::uint64_t> places(std::uint64_t size) {
  Random random(42);
  std::vector<std::uint64_t> offsets(operations);
  for (std::uint64_t& offset : offsets) offset = random.below(size / request) * request;
  return offsets;
}

void plain(nbd_handle* nbd, const std::vector<std::uint64_t>& offsets, std::vector<char>& buffer) {
  std::vector<std::pair<std::int64_t, std::size_t>> in_flight;  // cookie, slot
  std::size_t next = 0;
  std::size_t done = 0;
  const auto submit = [&](std::size_t slot) {
    const std::int64_t cookie = nbd_aio_pread(nbd, buffer.data() + slot * request, request,
                                              offsets[next++], NBD_NULL_COMPLETION, 0);
    if (cookie < 0) give_up(nbd_get_error());
    in_flight.emplace_back(cookie, slot);
  };
  for (std::size_t slot = 0; slot < depth; ++slot) submit(slot);
  while (done < offsets.size()) {
    const std::int64_t cookie = nbd_aio_peek_command_completed(nbd);
    if (cookie <= 0) {
      if (nbd_poll(nbd, -1) < 0) give_up(nbd_get_error());
      continue;
    }
    if (nbd_aio_command_completed(nbd, static_cast<std::uint64_t>(cookie)) != 1)
      give_up(nbd_get_error());
    ++done;
    const auto it = std::find_if(in_flight.begin(), in_flight.end(),
                                 [&](const auto& command) { return command.first == cookie; });
    const std::size_t slot = it->second;
    in_flight.erase(it);
    if (next < offsets.size()) submit(slot);
  }
}

void target(NbdkitSession& session, const std::vector<std::uint64_t>& offsets,
            std::vector<char>& buffer) {
  std::vector<std::pair<std::uint64_t, std::size_t>> in_flight;  // ticket, slot
  std::size_t next = 0;
  const auto submit = [&](std::size_t slot) {
    const auto into = std::as_writable_bytes(std::span(buffer)).subspan(slot * request, request);
    in_flight.emplace_back(
        session.submit({.command = Command::read, .offset = offsets[next++], .into = into}), slot);
  };
  for (std::size_t slot = 0; slot < depth; ++slot) submit(slot);
  while (const auto done = session.next()) {
    if (!done->reply.ok()) give_up("a read failed: " + session.lost());
    const auto it = std::find_if(in_flight.begin(), in_flight.end(), [&](const auto& command) {
      return command.first == done->ticket;
    });
    const std::size_t slot = it->second;
    in_flight.erase(it);
    if (next < offsets.size()) submit(slot);
  }
}

template <typename Work>
double rate(Work&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(operations) / taken.count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void bench(NbdkitProcess& nbdkit) {
  auto session = NbdkitTarget(nbdkit).connect("");
  if (!session) give_up(session.error().message);
  nbd_handle* const nbd = nbd_create();
  const std::string socket = nbdkit.options().directory + "/nbdkit.sock";
  if (nbd == nullptr || nbd_connect_unix(nbd, socket.c_str()) != 0) give_up(nbd_get_error());
  const auto offsets = places((*session)->info().size);
  std::vector<char> buffer(depth * request);
  // Each turn is a pair, so that what else the machine does meets both.
  std::vector<double> plain_rates;
  std::vector<double> target_rates;
  std::vector<double> shares;
  for (int turn = 0; turn < turns; ++turn) {
    plain_rates.push_back(rate([&] { plain(nbd, offsets, buffer); }));
    target_rates.push_back(rate([&] { target(**session, offsets, buffer); }));
    shares.push_back(100 * target_rates.back() / plain_rates.back());
  }
  nbd_shutdown(nbd, 0);
  nbd_close(nbd);
  fmt::print("plain {:.0f}\ntarget {:.0f}\nshare {:.1f}\n", median(plain_rates),
             median(target_rates), median(shares));
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) give_up("nbdkit_bench PLUGIN [key=value ...]");
  const auto program = NbdkitProgram::find("");
  if (!program) give_up(program.error().message);
  std::string directory =
      (std::filesystem::temp_directory_path() / "nbdcheck-bench.XXXXXX").string();
  if (::mkdtemp(directory.data()) == nullptr) give_up("no temporary directory");
  {
    auto nbdkit = NbdkitProcess::start(
        *program,
        {.plugin = argv[1], .arguments = {argv + 2, argv + argc}, .directory = directory});
    if (!nbdkit) give_up(nbdkit.error().message);
    bench(**nbdkit);
  }
  std::filesystem::remove_all(directory);
  return 0;
}
