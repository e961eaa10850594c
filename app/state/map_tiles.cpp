#include "state/map_tiles.h"

#include "core/priority.h"

#include <algorithm>
#include <cmath>
#include <exception>
#include <functional>
#include <span>
#include <utility>

namespace convscope {
namespace {

using convbasis::Index;
using convbasis::MapKind;
using convbasis::MapTile;

constexpr std::size_t tile_bytes = sizeof(float) * convbasis::map_tile_size * convbasis::map_tile_size;

/// True when the residual of the pooled tiles is the pooled residual, so that it is a subtraction of two tiles.
bool is_linear(const convbasis::MapTileKey& key) { return key.level == 0 || key.pooling == convbasis::Pooling::mean; }

MapTile difference(const MapTile& exact, const MapTile& approximation) {
  MapTile result(exact.size());
  std::transform(exact.begin(), exact.end(), approximation.begin(), result.begin(), std::minus<>());
  return result;
}

}  // namespace

MapTiles::MapTiles(std::function<void()> wake, std::size_t budget_bytes)
    : wake_(std::move(wake)),
      most_tiles_(std::max<std::size_t>(budget_bytes / tile_bytes, 8)),
      thread_([this](const std::stop_token& quit) { work(quit); }) {}

MapTiles::~MapTiles() {
  // In this order: a worker that takes the mutex after us sees `quit`, one that took it before us has a job to be stopped.
  thread_.request_stop();
  const std::lock_guard lock(mutex_);
  stop_running_.request_stop();
}

void MapTiles::set_analysis(std::shared_ptr<const Analysis> analysis, std::uint64_t exact_id, std::uint64_t approximation_id) {
  const std::lock_guard lock(mutex_);
  if (analysis == analysis_ && exact_id == exact_id_ && approximation_id == approximation_id_) return;
  analysis_ = std::move(analysis);
  exact_id_ = exact_id;
  approximation_id_ = approximation_id;
  ++difference_id_;
  wanted_.clear();
  failed_.clear();
  failure_.clear();
  std::erase_if(cache_, [&](const auto& item) { return item.first.exact_id != exact_id; });
  stop_unwanted();
}

void MapTiles::set_other(std::shared_ptr<const Analysis> other, MapKind part, std::uint64_t exact_id,
                         std::uint64_t approximation_id) {
  const std::lock_guard lock(mutex_);
  // Another approximation changes nothing where exact is compared.
  const std::uint64_t approximation = part == MapKind::exact ? 0 : approximation_id;
  if ((other == nullptr) == (other_ == nullptr) && part == part_ && exact_id == other_exact_id_ &&
      approximation == other_approximation_id_) {
    other_ = std::move(other);
    return;
  }
  other_ = std::move(other);
  part_ = part;
  other_exact_id_ = exact_id;
  other_approximation_id_ = approximation;
  ++difference_id_;
  wanted_.clear();
  stop_unwanted();
}

void MapTiles::want(std::vector<TileKey> keys) {
  const std::lock_guard lock(mutex_);
  if (keys == wanted_) return;
  wanted_ = std::move(keys);
  stop_unwanted();
  wishes_changed_.notify_one();
}

void MapTiles::want_row(std::optional<Index> row) {
  const std::lock_guard lock(mutex_);
  if (row == wanted_row_) return;
  wanted_row_ = row;
  if (!running_) stop_running_.request_stop();  // it is a row that is being computed
  wishes_changed_.notify_one();
}

MapTiles::TilePointer MapTiles::find(const TileKey& key) {
  const std::lock_guard lock(mutex_);
  return lookup(cache_key(key));
}

MapTiles::TilePointer MapTiles::find_earlier(const TileKey& key) {
  const std::lock_guard lock(mutex_);
  const CacheKey present = cache_key(key);
  auto place = cache_.lower_bound(present);
  if (place == cache_.begin()) return nullptr;
  --place;
  const bool same = place->first.tile == key && place->first.exact_id == exact_id_;
  return same ? place->second.tile : nullptr;
}

bool MapTiles::busy() const {
  const std::lock_guard lock(mutex_);
  return next_job().has_value();
}

std::string MapTiles::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

MapTiles::CacheKey MapTiles::cache_key(const TileKey& tile, const Job& ids) {
  if (tile.kind == MapKind::exact) return {tile, ids.exact_id, 0};
  return {tile, ids.exact_id, tile.kind == MapKind::residual && ids.other ? ids.difference_id : ids.approximation_id};
}

MapTiles::Job MapTiles::job_of(const TileKey& tile) const {
  return {tile, analysis_, other_, part_, exact_id_, approximation_id_, difference_id_};
}

MapTiles::CacheKey MapTiles::cache_key(const TileKey& tile) const { return cache_key(tile, job_of(tile)); }

void MapTiles::work(const std::stop_token& quit) {
  convbasis::lower_own_priority();
  while (true) {
    std::optional<Job> job;
    std::optional<RowJob> row;
    std::stop_token stop;
    {
      std::unique_lock lock(mutex_);
      wishes_changed_.wait(lock, quit, [this] { return next_job() || next_row(); });
      if (quit.stop_requested()) return;
      job = next_job();
      row = next_row();
      if (job) running_ = cache_key(job->key, *job);
      stop_running_ = std::stop_source();
      stop = stop_running_.get_token();
    }
    if (job) {
      run(*job, stop);
    } else {
      run(*row, stop);
    }
    {
      const std::lock_guard lock(mutex_);
      running_.reset();
      if (!job && !stop.stop_requested()) wanted_row_.reset();
    }
    if (wake_) wake_();
  }
}

void MapTiles::run(const RowJob& job, const std::stop_token& stop) {
  convbasis::RunContext context;
  context.stop = stop;
  try {
    job.analysis->exact->normalisers->require(job.analysis->head(), std::span(&job.row, 1), context);
  } catch (const convbasis::Cancelled&) {
    return;
  }
}

void MapTiles::run(const Job& job, const std::stop_token& stop) {
  std::string problem;
  try {
    obtain(job, job.key, stop);
    return;
  } catch (const convbasis::Cancelled&) {
    return;
  } catch (const std::exception& error) {
    problem = error.what();
  }
  const std::lock_guard lock(mutex_);
  failed_.insert(cache_key(job.key, job));
  failure_ = problem;
}

MapTiles::TilePointer MapTiles::obtain(const Job& job, const TileKey& key, const std::stop_token& stop) {
  const CacheKey name = cache_key(key, job);
  {
    const std::lock_guard lock(mutex_);
    if (TilePointer tile = lookup(name)) return tile;
  }
  MapTile values;
  if (key.kind == MapKind::residual && job.other) {
    TileKey part = key;
    part.kind = job.part;
    convbasis::RunContext context;
    context.stop = stop;
    values = difference(convbasis::compute_map_tile(*job.other, part, context), *obtain(job, part, stop));
  } else if (key.kind == MapKind::residual && is_linear(key)) {
    TileKey part = key;
    part.kind = MapKind::exact;
    const TilePointer exact = obtain(job, part, stop);
    part.kind = MapKind::approximation;
    values = difference(*exact, *obtain(job, part, stop));
  } else {
    convbasis::RunContext context;
    context.stop = stop;
    values = convbasis::compute_map_tile(*job.analysis, key, context);
  }
  auto tile = std::make_shared<const MapTile>(std::move(values));
  const std::lock_guard lock(mutex_);
  // A tile of a head that is no longer shown would only push out those that are.
  if (job.exact_id == exact_id_) keep(name, tile);
  return tile;
}

std::optional<MapTiles::Job> MapTiles::next_job() const {
  if (!analysis_) return std::nullopt;
  for (const TileKey& key : wanted_) {
    const CacheKey name = cache_key(key);
    if (!cache_.contains(name) && !failed_.contains(name)) return job_of(key);
  }
  return std::nullopt;
}

std::optional<MapTiles::RowJob> MapTiles::next_row() const {
  if (!analysis_ || !wanted_row_ || *wanted_row_ >= analysis_->n) return std::nullopt;
  if (!std::isnan((*analysis_->exact->normalisers)[*wanted_row_])) return std::nullopt;
  return RowJob{*wanted_row_, analysis_};
}

MapTiles::TilePointer MapTiles::lookup(const CacheKey& key) {
  const auto place = cache_.find(key);
  if (place == cache_.end()) return nullptr;
  place->second.last_use = ++uses_;
  return place->second.tile;
}

void MapTiles::keep(const CacheKey& key, TilePointer tile) {
  // An earlier approximation of this tile has nothing left to stand in for.
  std::erase_if(cache_, [&](const auto& item) {
    return item.first.tile == key.tile && item.first.exact_id == key.exact_id &&
           item.first.approximation_id < key.approximation_id;
  });
  cache_[key] = {std::move(tile), ++uses_};
  while (cache_.size() > most_tiles_) {
    cache_.erase(std::min_element(cache_.begin(), cache_.end(),
                                  [](const auto& a, const auto& b) { return a.second.last_use < b.second.last_use; }));
  }
}

void MapTiles::stop_unwanted() {
  if (!running_) {
    stop_running_.request_stop();  // a row gives way to tiles
    return;
  }
  const auto is_running = [this](const TileKey& key) { return cache_key(key) == *running_; };
  if (std::none_of(wanted_.begin(), wanted_.end(), is_running)) stop_running_.request_stop();
}

}  // namespace convscope
