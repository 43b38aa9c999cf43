// Small storages as plugins make them, legal and faulty, for the views to be
// held against.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "plan/random.hpp"

namespace nbdcheck::testing {

class Storage {
 public:
  virtual ~Storage() = default;
  virtual void open(int connection) = 0;
  virtual void close(int connection) = 0;
  virtual void write(int connection, std::uint64_t offset, std::span<const std::byte> data,
                     bool fua) = 0;
  virtual void flush(int connection) = 0;
  virtual std::byte read(int connection, std::uint64_t offset) = 0;
};

enum class Fault {
  none,
  flush_drops,        // flush forgets what it should have written back
  fua_stays_cached,   // and is lost with the connection
  flush_is_own,       // although multi-conn is promised, a flush covers one connection only
  keeps_stale,        // although multi-conn is promised, reads come from an old copy
  forgets_writes,     // now and then a write is answered and not done
  writes_neighbour,   // now and then a byte too many
  mixes_connections,  // per-connection disks that are one after all
};

// Every write goes to the one store at once.
class WriteThrough : public Storage {
 public:
  WriteThrough(std::size_t size, Random& random, Fault fault)
      : random_(random), fault_(fault), store_(size) {
    for (std::byte& byte : store_) byte = static_cast<std::byte>(random.below(4));
  }
  void open(int) override {}
  void close(int) override {}
  void write(int, std::uint64_t offset, std::span<const std::byte> data, bool) override {
    if (fault_ == Fault::forgets_writes && random_.percent(10)) return;
    for (std::size_t i = 0; i < data.size(); ++i) store_[offset + i] = data[i];
    if (fault_ == Fault::writes_neighbour && offset > 0 && random_.percent(10))
      store_[offset - 1] = data[0];
  }
  void flush(int) override {}
  std::byte read(int, std::uint64_t offset) override { return store_[offset]; }

 protected:
  Random& random_;
  Fault fault_;
  std::vector<std::byte> store_;
};

// Each connection keeps what it wrote and what it read for itself, writes back
// whenever it likes, and must at a flush.  `together`: a flush on any of them
// writes back all and makes all look again, as multi-conn wants it.
class WriteBack : public WriteThrough {
 public:
  WriteBack(std::size_t size, Random& random, Fault fault, bool together)
      : WriteThrough(size, random, fault), together_(together) {}

  void open(int connection) override { caches_[connection] = {}; }
  void close(int connection) override {
    // What was not flushed is written back, or is not.
    Cache& cache = caches_[connection];
    while (!cache.dirty.empty()) {
      const std::uint64_t offset = cache.dirty.begin()->first;
      if (fault_ != Fault::fua_stays_cached && random_.percent(50))
        write_back(cache, offset);
      else
        cache.dirty.erase(offset);
    }
    caches_.erase(connection);
  }
  void write(int connection, std::uint64_t offset, std::span<const std::byte> data,
             bool fua) override {
    Cache& cache = caches_[connection];
    for (std::size_t i = 0; i < data.size(); ++i) {
      cache.clean.erase(offset + i);
      cache.dirty[offset + i] = {data[i], ++time_};
    }
    if (fua && fault_ != Fault::fua_stays_cached) {
      for (std::size_t i = 0; i < data.size(); ++i) write_back(cache, offset + i);
      if (together_) look_again();
    }
    evict();
  }
  void flush(int connection) override {
    for (auto& [other, cache] : caches_) {
      if (other != connection && (!together_ || fault_ == Fault::flush_is_own)) continue;
      if (fault_ == Fault::flush_drops) {
        // It is still there for this connection, until it closes.
        for (const auto& [offset, dirty] : cache.dirty) cache.clean[offset] = dirty.value;
        cache.dirty.clear();
      }
      while (!cache.dirty.empty()) write_back(cache, cache.dirty.begin()->first);
    }
    if (together_) look_again();
  }
  std::byte read(int connection, std::uint64_t offset) override {
    Cache& cache = caches_[connection];
    if (const auto it = cache.dirty.find(offset); it != cache.dirty.end()) return it->second.value;
    if (const auto it = cache.clean.find(offset); it != cache.clean.end()) return it->second;
    if (random_.percent(50)) cache.clean[offset] = store_[offset];
    return store_[offset];
  }

 private:
  struct Dirty {
    std::byte value;
    std::uint64_t time;
  };
  struct Cache {
    std::map<std::uint64_t, Dirty> dirty;
    std::map<std::uint64_t, std::byte> clean;
  };
  void write_back(Cache& cache, std::uint64_t offset) {
    const auto it = cache.dirty.find(offset);
    if (it == cache.dirty.end()) return;
    const Dirty dirty = it->second;
    cache.dirty.erase(it);
    // Caches that know of each other keep the order of writes.
    if (together_ && written_[offset] > dirty.time) return;
    written_[offset] = dirty.time;
    store_[offset] = dirty.value;
    if (random_.percent(50)) cache.clean[offset] = dirty.value;
  }
  void look_again() {
    if (fault_ == Fault::keeps_stale) return;
    for (auto& [connection, cache] : caches_) cache.clean.clear();
  }
  void evict() {
    for (auto& [connection, cache] : caches_) {
      if (fault_ == Fault::flush_drops || fault_ == Fault::fua_stays_cached) continue;
      while (!cache.dirty.empty() && random_.percent(40)) {
        auto it = cache.dirty.begin();
        std::advance(it, static_cast<std::ptrdiff_t>(random_.below(cache.dirty.size())));
        write_back(cache, it->first);
      }
      while (!cache.clean.empty() && random_.percent(60)) cache.clean.erase(cache.clean.begin());
    }
  }

  bool together_;
  std::map<int, Cache> caches_;
  std::uint64_t time_ = 0;
  std::map<std::uint64_t, std::uint64_t> written_;  // when what the store holds was written
};

// A disk for each connection, the same at every open.
class PerConnection : public Storage {
 public:
  PerConnection(std::size_t size, Random& random, Fault fault)
      : size_(size), random_(random), fault_(fault) {}
  void open(int connection) override {
    disks_[connection] = std::make_unique<WriteThrough>(size_, random_, Fault::none);
  }
  void close(int connection) override { disks_.erase(connection); }
  void write(int connection, std::uint64_t offset, std::span<const std::byte> data,
             bool fua) override {
    for (auto& [other, disk] : disks_)
      if (other == connection || fault_ == Fault::mixes_connections)
        disk->write(other, offset, data, fua);
  }
  void flush(int) override {}
  std::byte read(int connection, std::uint64_t offset) override {
    return disks_.at(connection)->read(connection, offset);
  }

 private:
  std::size_t size_;
  Random& random_;
  Fault fault_;
  std::map<int, std::unique_ptr<WriteThrough>> disks_;
};

}  // namespace nbdcheck::testing
