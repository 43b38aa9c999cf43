// A plugin whose calls on files are watched, and a client of it: what the
// checks on durability and on failing files have in common.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checks/check_run.hpp"
#include "checks/client.hpp"
#include "checks/payload_finder.hpp"
#include "judge/durability.hpp"
#include "nbdcheck/file_calls.hpp"

namespace nbdcheck {

class WatchedPlugin {
 public:
  explicit WatchedPlugin(CheckRun& run) : run_(run) {}

  // Serves the plugin and runs `body`, all of it watched.  False: it could not
  // be, and that has been reported.
  bool serve(bool reads, const std::function<void()>& body);

  // --- within body ---------------------------------------------------------
  Server& server() { return *server_; }
  FileCallWatch& watch() { return *watch_; }
  // Runs the operation and keeps what it did.
  bool request(Client& client, Operation op);
  // A write of new data.
  Operation write(std::uint64_t offset, std::uint32_t count, std::uint32_t flags = 0);

  // Whether the calls since `from` wrote all that the write carried, as it is.
  [[nodiscard]] bool all_written(const Operation& op, std::size_t from) const;

  [[nodiscard]] const std::vector<DurableRequest>& requests() const { return requests_; }
  // Places for requests, apart from each other.
  [[nodiscard]] const std::vector<Place>& places() const { return places_; }

  // Why nothing can be said of what the plugin did; "" when it can.
  [[nodiscard]] std::string cannot_judge() const;
  // Whether data of these requests were seen in the files it was given.
  [[nodiscard]] bool wrote_to_files() const;

 private:
  void look_into_mappings(DurableRequest& request);

  CheckRun& run_;
  PayloadFinder finder_;
  std::unique_ptr<FileCallWatch> watch_;
  std::unique_ptr<Server> server_;
  std::vector<DurableRequest> requests_;
  std::vector<Place> places_;
  std::uint32_t next_tag_ = 1;
};

// Up to `most` ranges of whole blocks, about 4 KiB each, from the first to the
// last of the export, apart from each other.
std::vector<Place> spread_places(const Subject& subject, std::size_t most);

// Runs `op` on its thread's connection; the data of a write are its tag's.
Reply perform(Connection& connection, const Operation& op);

}  // namespace nbdcheck
