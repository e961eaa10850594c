/// \file
/// Computes map tiles in the background and keeps the recent ones.
#pragma once

#include "analysis/map_tile.h"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

namespace convscope {

/// One worker thread computes the wanted tiles of one analysis, first wish first. A new list of wishes replaces the old one, and
/// work that is no longer wanted is stopped. Tiles are kept up to a memory budget, least recently used ones go first.
///
/// All methods are for one thread (the window's) and return at once; `wake` is called from the worker when a tile has arrived.
/// Destruction stops the running tile and waits for it: some milliseconds.
class MapTiles {
 public:
  using Analysis = convbasis::HeadAnalysis<float>;
  using TilePointer = std::shared_ptr<const convbasis::MapTile>;

  explicit MapTiles(std::function<void()> wake, std::size_t budget_bytes = std::size_t{256} << 20U);
  ~MapTiles();
  MapTiles(const MapTiles&) = delete;
  MapTiles& operator=(const MapTiles&) = delete;

  /// Sets whose tiles are computed; null for none. `exact_id` names the head, its n and scale, `approximation_id` grows with
  /// every result of it: exact tiles are kept while exact_id stays.
  void set_analysis(std::shared_ptr<const Analysis> analysis, std::uint64_t exact_id, std::uint64_t approximation_id);

  /// From now on tiles of kind residual are another analysis less this one, cell by cell, and mean-pooled only: exact less exact,
  /// or approximation less approximation as `part` says. Both need the same n. Null: the residual of this one.
  void set_other(std::shared_ptr<const Analysis> other, convbasis::MapKind part, std::uint64_t exact_id,
                 std::uint64_t approximation_id);

  /// What to compute, the most important first. Wishes that are already there cost nothing.
  void want(std::vector<convbasis::MapTileKey> keys);
  /// Which row's normaliser is to be known once all tiles are there (see convbasis::RowNormalisers); none usually.
  void want_row(std::optional<convbasis::Index> row);

  /// The tile of the present analysis, or null.
  TilePointer find(const convbasis::MapTileKey& key);
  /// The same tile of the latest earlier approximation of the same head, or null: something to show meanwhile.
  TilePointer find_earlier(const convbasis::MapTileKey& key);

  /// True while a wanted tile is missing and has not failed.
  bool busy() const;
  /// Why a tile could not be computed, one line; empty normally.
  std::string failure() const;

 private:
  using TileKey = convbasis::MapTileKey;
  /// approximation_id is 0 for exact tiles, which do not depend on it.
  struct CacheKey {
    TileKey tile;
    std::uint64_t exact_id = 0, approximation_id = 0;
    auto operator<=>(const CacheKey&) const = default;
  };
  struct Entry {
    TilePointer tile;
    std::uint64_t last_use = 0;
  };
  /// What the worker computes from, taken together.
  struct Job {
    TileKey key;
    std::shared_ptr<const Analysis> analysis, other;
    convbasis::MapKind part{};
    std::uint64_t exact_id = 0, approximation_id = 0, difference_id = 0;
  };

  struct RowJob {
    convbasis::Index row = 0;
    std::shared_ptr<const Analysis> analysis;
  };

  static CacheKey cache_key(const TileKey& tile, const Job& ids);
  CacheKey cache_key(const TileKey& tile) const;  // needs the mutex held
  Job job_of(const TileKey& tile) const;          // likewise
  void work(const std::stop_token& quit);
  void run(const Job& job, const std::stop_token& stop);
  void run(const RowJob& job, const std::stop_token& stop);
  TilePointer obtain(const Job& job, const TileKey& key, const std::stop_token& stop);

  // These need the mutex held.
  std::optional<Job> next_job() const;
  std::optional<RowJob> next_row() const;
  TilePointer lookup(const CacheKey& key);
  void keep(const CacheKey& key, TilePointer tile);
  void stop_unwanted();

  std::function<void()> wake_;
  std::size_t most_tiles_;

  mutable std::mutex mutex_;  // guards all that follows
  std::condition_variable_any wishes_changed_;
  std::shared_ptr<const Analysis> analysis_;
  std::uint64_t exact_id_ = 0, approximation_id_ = 0;
  std::shared_ptr<const Analysis> other_;
  convbasis::MapKind part_ = convbasis::MapKind::exact;
  std::uint64_t other_exact_id_ = 0, other_approximation_id_ = 0;
  std::uint64_t difference_id_ = 0;  ///< grows whenever what a difference is of changes
  std::vector<TileKey> wanted_;
  std::optional<convbasis::Index> wanted_row_;
  std::map<CacheKey, Entry> cache_;
  std::uint64_t uses_ = 0;
  std::set<CacheKey> failed_;
  std::string failure_;
  std::optional<CacheKey> running_;
  std::stop_source stop_running_{std::nostopstate};

  std::jthread thread_;  // last: it starts when everything else exists, and stops first
};

}  // namespace convscope
