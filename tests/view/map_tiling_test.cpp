#include "view/map_tiling.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace convscope {
namespace {

using convbasis::Index;
using convbasis::map_tile_size;
using convbasis::MapKind;
using convbasis::MapTileKey;
using convbasis::Pooling;

MapTileKey key_at(int level, Index row, Index column) {
  MapTileKey key;
  key.level = level;
  key.row = row;
  key.column = column;
  return key;
}

TEST(LevelFor, TakesCellsOneByOneWhereTheyCoverPixels) {
  EXPECT_EQ(level_for(256.0, 300.0, 4096), 0);
  EXPECT_EQ(level_for(300.0, 300.0, 4096), 0);
  EXPECT_EQ(level_for(4.0, 300.0, 4096), 0);
}

TEST(LevelFor, NeverSkipsCellsBetweenTwoPixels) {
  for (const double extent : {301.0, 1000.0, 4096.0, 5000.0, 32768.0}) {
    const int level = level_for(extent, 300.0, 32768);
    const double pixel_of_level = static_cast<double>(Index{1} << level) * 300.0 / extent;
    EXPECT_GE(pixel_of_level, 1.0 - 1e-9);
    EXPECT_LT(pixel_of_level, 2.0);
  }
}

TEST(LevelFor, StopsAtTheCoarsestLevel) {
  EXPECT_EQ(level_for(512.0, 1.0, 512), convbasis::coarsest_level(512));
  EXPECT_EQ(level_for(10.0, 0.0, 10), 0);
}

TEST(VisibleTiles, OfAMapInOneTileIsThatTile) {
  EXPECT_THAT(visible_tiles(key_at(0, 0, 0), fit_window(200), 200), testing::ElementsAre(key_at(0, 0, 0)));
}

TEST(VisibleTiles, CoverEveryCausalCellInTheWindow) {
  const Index n = 3000;
  const CellWindow window{700.5, 650.25, 800.0};
  const auto keys = visible_tiles(key_at(0, 0, 0), window, n);
  for (Index row = 701; row < 1500; row += 13) {
    for (Index column = 651; column <= std::min<Index>(row, 1449); column += 13) {
      const auto holds = [&](const MapTileKey& key) { return contains(key, {row, column}); };
      EXPECT_EQ(std::count_if(keys.begin(), keys.end(), holds), 1) << row << ", " << column;
    }
  }
}

TEST(VisibleTiles, LeaveOutTheMaskedOnes) {
  const auto keys = visible_tiles(key_at(0, 0, 0), fit_window(1024), 1024);
  EXPECT_EQ(keys.size(), 10U);  // 4 x 4 tiles, of which 6 lie above the diagonal
  for (const MapTileKey& key : keys) EXPECT_LE(key.column, key.row);
}

TEST(VisibleTiles, KeepTheKindOfTheirKey) {
  MapTileKey kind = key_at(1, 0, 0);
  kind.kind = MapKind::residual;
  kind.pooling = Pooling::peak;
  for (const MapTileKey& key : visible_tiles(kind, fit_window(2000), 2000)) {
    EXPECT_EQ(key.kind, MapKind::residual);
    EXPECT_EQ(key.pooling, Pooling::peak);
    EXPECT_EQ(key.level, 1);
  }
}

TEST(VisibleTiles, ComeFromTheMiddleOutwards) {
  const auto keys = visible_tiles(key_at(0, 0, 0), {1024.0, 256.0, 768.0}, 4096);
  ASSERT_EQ(keys.size(), 9U);
  EXPECT_EQ(keys.front(), key_at(0, 5, 2));
}

TEST(VisibleTiles, DoNotReachBeyondTheEdgeOfTheWindow) {
  // The window ends exactly where the next tile begins.
  const auto keys = visible_tiles(key_at(0, 0, 0), {512.0, 0.0, 256.0}, 1024);
  EXPECT_THAT(keys, testing::ElementsAre(key_at(0, 2, 0)));
}

TEST(ParentAndChildren, CoverTheSameCells) {
  const MapTileKey key = key_at(1, 3, 2);
  const auto parent = parent_of(key, 4096);
  ASSERT_TRUE(parent);
  EXPECT_EQ(*parent, key_at(2, 1, 1));
  const auto children = children_of(*parent);
  ASSERT_EQ(children.size(), 4U);
  EXPECT_NE(std::find(children.begin(), children.end(), key), children.end());
  for (const MapTileKey& child : children) EXPECT_EQ(parent_of(child, 4096), parent);
}

TEST(ParentAndChildren, EndAtTheFirstAndTheLastLevel) {
  EXPECT_FALSE(parent_of(key_at(convbasis::coarsest_level(4096), 0, 0), 4096));
  EXPECT_TRUE(children_of(key_at(0, 5, 5)).empty());
}

TEST(PixelOf, CountsInPixelsOfTheLevel) {
  EXPECT_EQ(pixel_of(key_at(0, 1, 0), {256 + 3, 5}), static_cast<std::size_t>(3 * map_tile_size + 5));
  EXPECT_EQ(pixel_of(key_at(2, 1, 1), {1024 + 9, 1024 + 4}), static_cast<std::size_t>(2 * map_tile_size + 1));
}

TEST(LevelName, SaysHowAPixelWasMade) {
  EXPECT_EQ(level_name(0, Pooling::mean), "");
  EXPECT_EQ(level_name(2, Pooling::mean), "mean of 4×4");
  EXPECT_EQ(level_name(7, Pooling::peak), "peak of 128×128");
}

}  // namespace
}  // namespace convscope
