// Small pictures: which colour each pixel gets, and how large they are.

#include "view/thumbnail.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace convscope {
namespace {

constexpr float nan = std::numeric_limits<float>::quiet_NaN();
constexpr Rgb masked{0.2F, 0.4F, 0.6F};

std::vector<int> pixel(const std::vector<std::uint8_t>& pixels, std::size_t index) {
  return {pixels[4 * index], pixels[4 * index + 1], pixels[4 * index + 2], pixels[4 * index + 3]};
}

std::vector<int> bytes(Rgb colour) {
  const auto byte = [](float part) { return static_cast<int>(std::lround(part * 255.0F)); };
  return {byte(colour.r), byte(colour.g), byte(colour.b), 255};
}

TEST(Thumbnail, ColoursValuesByTheScale) {
  const ColourTable table = colour_table(ColourMap::viridis);
  const ColourScale scale{ScaleKind::log, {0.01, 1.0}};
  const std::vector<float> values{1.0F, nan, 0.1F, 0.0001F};
  const auto pixels = coloured_thumbnail(values, 2, scale, table, masked);
  ASSERT_EQ(pixels.size(), 16U);
  EXPECT_EQ(pixel(pixels, 0), bytes(table[255]));
  EXPECT_EQ(pixel(pixels, 1), bytes(masked));
  EXPECT_EQ(pixel(pixels, 2), bytes(table[128]));
  EXPECT_EQ(pixel(pixels, 3), bytes(table[0]));
}

TEST(Thumbnail, AveragesWhatIsNotMasked) {
  const ColourTable table = colour_table(ColourMap::grey);
  const ColourScale scale{ScaleKind::linear, {0.0, 255.0}};
  const std::vector<float> values{100, nan, nan, nan,  //
                                  50,  60,  nan, nan,  //
                                  1,   2,   9,   nan,  //
                                  3,   4,   9,   9};
  const auto pixels = coloured_thumbnail(values, 2, scale, table, masked);
  EXPECT_EQ(pixel(pixels, 0), bytes(table[70]));
  EXPECT_EQ(pixel(pixels, 1), bytes(masked));
  EXPECT_EQ(pixel(pixels, 3), bytes(table[9]));
}

TEST(Thumbnail, ZeroAndOneTokenAreDrawnToo) {
  const ColourTable table = colour_table(ColourMap::grey);
  for (const int n : {0, 1, 64, 1 << 20}) {
    const ColourScale scale = thumbnail_scale(n);
    EXPECT_GT(scale.range.lo, 0.0);
    EXPECT_GT(scale.range.hi, scale.range.lo);
    const std::vector<float> values{0.0F};
    EXPECT_EQ(pixel(coloured_thumbnail(values, 1, scale, table, masked), 0), bytes(table[0]));
  }
}

TEST(Thumbnail, ShrinksUntilAllFit) {
  EXPECT_EQ(thumbnail_side_for(1), 64);
  EXPECT_EQ(thumbnail_side_for(4096), 64);
  EXPECT_EQ(thumbnail_side_for(4097), 32);
  EXPECT_EQ(thumbnail_side_for(262144), 8);
  EXPECT_EQ(thumbnail_side_for(262145), 0);
}

}  // namespace
}  // namespace convscope
