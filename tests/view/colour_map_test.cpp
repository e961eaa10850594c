#include "view/colour_map.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>

namespace convscope {
namespace {

constexpr ColourMap sequential[] = {ColourMap::viridis, ColourMap::cividis, ColourMap::magma, ColourMap::grey};

TEST(ColourTable, OfSequentialMapsGrowsBrighter) {
  for (const ColourMap map : sequential) {
    const ColourTable table = colour_table(map);
    for (std::size_t i = 1; i < table.size(); ++i) {
      EXPECT_GT(luminance(table[i]), luminance(table[i - 1])) << name_of(map) << " at " << i;
    }
  }
}

TEST(ColourTable, OfSequentialMapsUsesMostOfTheLuminanceThereIs) {
  for (const ColourMap map : sequential) {
    const ColourTable table = colour_table(map);
    EXPECT_LT(luminance(table.front()), 0.03) << name_of(map);
    EXPECT_GT(luminance(table.back()), 0.7) << name_of(map);
  }
}

TEST(ColourTable, OfTheDivergingMapPeaksInTheMiddle) {
  const ColourTable table = colour_table(ColourMap::diverging);
  for (std::size_t i = 1; i < 128; ++i) {
    EXPECT_GT(luminance(table[i]), luminance(table[i - 1])) << i;
    EXPECT_GT(luminance(table[255 - i]), luminance(table[256 - i])) << i;
  }
  EXPECT_GT(table.front().b, table.front().r) << "low values are blue";
  EXPECT_GT(table.back().r, table.back().b) << "high values are red";
}

TEST(ColourTable, HasNoJumps) {
  for (const ColourMap map : {ColourMap::viridis, ColourMap::cividis, ColourMap::magma, ColourMap::grey, ColourMap::diverging}) {
    const ColourTable table = colour_table(map);
    for (std::size_t i = 1; i < table.size(); ++i) {
      // 256 colours on a path through the colour cube whose longest side is 1: neighbours differ by little more than 1/255.
      EXPECT_LT(std::abs(table[i].r - table[i - 1].r), 0.02F);
      EXPECT_LT(std::abs(table[i].g - table[i - 1].g), 0.02F);
      EXPECT_LT(std::abs(table[i].b - table[i - 1].b), 0.02F);
    }
  }
}

TEST(ColourAt, ClampsAndTakesTheFirstColourForNan) {
  const ColourTable table = colour_table(ColourMap::viridis);
  EXPECT_EQ(colour_at(table, -1.0), table.front());
  EXPECT_EQ(colour_at(table, 2.0), table.back());
  EXPECT_EQ(colour_at(table, 0.5), table[128]);
  EXPECT_EQ(colour_at(table, std::nan("")), table.front());
}

TEST(Palette, TellsItsSubjectsApart) {
  constexpr Subject subjects[] = {Subject::exact,    Subject::conv, Subject::conv_full, Subject::rank,
                                  Subject::residual, Subject::gpu,  Subject::estimate};
  for (const bool dark : {true, false}) {
    for (const Subject a : subjects) {
      for (const Subject b : subjects) {
        if (a == b) continue;
        EXPECT_FALSE(colour_of(a, dark) == colour_of(b, dark));
      }
    }
  }
}

}  // namespace
}  // namespace convscope
