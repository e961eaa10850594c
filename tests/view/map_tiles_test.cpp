#include "state/map_tiles.h"

#include "analysis/head_analysis.h"
#include "data/planted.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <memory>
#include <thread>
#include <vector>

namespace convscope {
namespace {

using namespace std::chrono_literals;
using convbasis::Index;
using convbasis::MapKind;
using convbasis::MapTile;
using convbasis::MapTileKey;
using convbasis::Pooling;

using Analysis = std::shared_ptr<const convbasis::HeadAnalysis<float>>;

Analysis analyse(Index n, Index k) {
  convbasis::RecoverOptions options;
  options.k = k;
  return std::make_shared<const convbasis::HeadAnalysis<float>>(
      convbasis::analyze_head(convbasis::make_random_head<float>(n, 16, 16, 5), options));
}

MapTileKey key_of(MapKind kind, int level = 0, Index row = 0, Index column = 0) {
  MapTileKey key;
  key.kind = kind;
  key.level = level;
  key.row = row;
  key.column = column;
  return key;
}

void wait_for(const MapTiles& tiles) {
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (tiles.busy()) {
    ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "the tiles never came";
    std::this_thread::sleep_for(1ms);
  }
}

/// Largest difference of two tiles; infinity where only one of them is masked.
double distance(const MapTile& a, const MapTile& b) {
  if (a.size() != b.size()) return INFINITY;
  double largest = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    const double difference = std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i]));
    if (!(difference <= largest)) largest = std::isnan(difference) ? INFINITY : difference;
  }
  return largest;
}

TEST(MapTiles, DeliverWhatTheEngineComputes) {
  const Analysis analysis = analyse(600, 8);
  MapTiles tiles({});
  tiles.set_analysis(analysis, 1, 1);
  std::vector<MapTileKey> keys;
  for (const MapKind kind : {MapKind::exact, MapKind::approximation, MapKind::residual}) {
    for (const Pooling pooling : {Pooling::mean, Pooling::peak}) {
      keys.push_back(key_of(kind, 1, 0, 0));
      keys.back().pooling = pooling;
    }
    keys.push_back(key_of(kind, 0, 2, 1));
  }
  tiles.want(keys);
  wait_for(tiles);
  for (const MapTileKey& key : keys) {
    const auto tile = tiles.find(key);
    ASSERT_TRUE(tile);
    // A residual may be the difference of two pooled tiles; probabilities are below 1 and rounded to float a few times.
    EXPECT_LE(distance(*tile, convbasis::compute_map_tile(*analysis, key)), 1e-6);
  }
}

TEST(MapTiles, WakeWhenATileArrives) {
  std::atomic<int> woken{0};
  MapTiles tiles([&] { ++woken; });
  tiles.set_analysis(analyse(64, 2), 1, 1);
  EXPECT_EQ(woken, 0);
  tiles.want({key_of(MapKind::exact)});
  const auto deadline = std::chrono::steady_clock::now() + 60s;
  while (woken == 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::sleep_for(1ms);
  EXPECT_GE(woken, 1);
  EXPECT_TRUE(tiles.find(key_of(MapKind::exact)));
}

TEST(MapTiles, AreIdleWithoutAnAnalysis) {
  MapTiles tiles({});
  tiles.want({key_of(MapKind::exact)});
  EXPECT_FALSE(tiles.busy());
  EXPECT_FALSE(tiles.find(key_of(MapKind::exact)));
}

TEST(MapTiles, KeepExactTilesWhenOnlyTheBasisChanges) {
  MapTiles tiles({});
  tiles.set_analysis(analyse(300, 2), 1, 1);
  const MapTileKey exact = key_of(MapKind::exact);
  const MapTileKey approximation = key_of(MapKind::approximation);
  tiles.want({exact, approximation});
  wait_for(tiles);
  const auto exact_tile = tiles.find(exact);
  const auto old_tile = tiles.find(approximation);
  ASSERT_TRUE(exact_tile);
  ASSERT_TRUE(old_tile);

  tiles.set_analysis(analyse(300, 9), 1, 2);
  EXPECT_EQ(tiles.find(exact), exact_tile);
  EXPECT_FALSE(tiles.find(approximation));
  EXPECT_EQ(tiles.find_earlier(approximation), old_tile) << "something to show meanwhile";
  tiles.want({exact, approximation});
  wait_for(tiles);
  const auto new_tile = tiles.find(approximation);
  ASSERT_TRUE(new_tile);
  EXPECT_GT(distance(*new_tile, *old_tile), 0.0);
  EXPECT_FALSE(tiles.find_earlier(approximation)) << "the old tile has done its work";
}

TEST(MapTiles, ADifferenceIsTheOtherLessThisOne) {
  const Analysis analysis = analyse(600, 8);
  const Analysis other = analyse(600, 3);
  MapTiles tiles({});
  tiles.set_analysis(analysis, 1, 1);
  tiles.set_other(other, MapKind::approximation, 2, 7);
  const MapTileKey key = key_of(MapKind::residual, 1, 0, 0);
  tiles.want({key});
  wait_for(tiles);
  MapTileKey part = key;
  part.kind = MapKind::approximation;
  const MapTile left = convbasis::compute_map_tile(*other, part);
  const MapTile right = convbasis::compute_map_tile(*analysis, part);
  MapTile expected(left.size());
  for (std::size_t i = 0; i < left.size(); ++i) expected[i] = left[i] - right[i];
  ASSERT_TRUE(tiles.find(key));
  EXPECT_LE(distance(*tiles.find(key), expected), 0.0);
  // Another part, another tile; and without an other it is the residual.
  tiles.set_other(other, MapKind::exact, 2, 7);
  EXPECT_FALSE(tiles.find(key));
  tiles.set_other(nullptr, MapKind::exact, 0, 0);
  tiles.want({key});
  wait_for(tiles);
  ASSERT_TRUE(tiles.find(key));
  EXPECT_LE(distance(*tiles.find(key), convbasis::compute_map_tile(*analysis, key)), 1e-6);
}

TEST(MapTiles, ForgetAnotherHead) {
  MapTiles tiles({});
  tiles.set_analysis(analyse(100, 2), 1, 1);
  tiles.want({key_of(MapKind::exact), key_of(MapKind::approximation)});
  wait_for(tiles);
  tiles.set_analysis(analyse(120, 2), 2, 2);
  EXPECT_FALSE(tiles.find(key_of(MapKind::exact)));
  EXPECT_FALSE(tiles.find(key_of(MapKind::approximation)));
  EXPECT_FALSE(tiles.find_earlier(key_of(MapKind::approximation)));
}

TEST(MapTiles, StayWithinTheirBudget) {
  constexpr std::size_t tile_bytes = std::size_t{256} * 256 * sizeof(float);
  MapTiles tiles({}, 8 * tile_bytes);
  tiles.set_analysis(analyse(256 * 12, 2), 1, 1);
  std::vector<MapTileKey> keys;
  for (Index row = 0; row < 12; ++row) {
    keys.push_back(key_of(MapKind::approximation, 0, row, 0));
    tiles.want({keys.back()});
    wait_for(tiles);
  }
  EXPECT_TRUE(tiles.find(keys.back()));
  const auto held = std::count_if(keys.begin(), keys.end(), [&](const MapTileKey& key) { return tiles.find(key) != nullptr; });
  EXPECT_EQ(held, 8);
  EXPECT_FALSE(tiles.find(keys.front())) << "the one used longest ago goes first";
}

TEST(MapTiles, StopWorkThatIsNoLongerWanted) {
  // The whole map of this size at the coarsest level takes seconds; the other tile a moment.
  const Analysis analysis = analyse(16384, 2);
  const MapTileKey whole = key_of(MapKind::exact, convbasis::coarsest_level(16384));
  const MapTileKey corner = key_of(MapKind::approximation);
  MapTiles tiles({});
  tiles.set_analysis(analysis, 1, 1);
  tiles.want({whole});
  std::this_thread::sleep_for(20ms);
  tiles.want({corner});
  wait_for(tiles);
  EXPECT_TRUE(tiles.find(corner));
  EXPECT_FALSE(tiles.find(whole));
}

}  // namespace
}  // namespace convscope
