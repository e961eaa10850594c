#include "view/map_geometry.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace convscope {
namespace {

void expect_in_bounds(const CellWindow& window, convbasis::Index n) {
  const auto size = static_cast<double>(n);
  EXPECT_GE(window.extent, std::min(least_extent, size));
  EXPECT_LE(window.extent, size);
  EXPECT_GE(window.row, 0.0);
  EXPECT_GE(window.column, 0.0);
  // The sum of two rounded numbers may pass n by its own rounding.
  EXPECT_LE(window.row + window.extent, size * (1.0 + 1e-15));
  EXPECT_LE(window.column + window.extent, size * (1.0 + 1e-15));
}

TEST(MapGeometry, FitShowsTheWholeMap) {
  EXPECT_EQ(fit_window(1000), (CellWindow{0.0, 0.0, 1000.0}));
  EXPECT_EQ(fit_window(1), (CellWindow{0.0, 0.0, 1.0}));
}

TEST(MapGeometry, ClampKeepsWhatIsInBounds) {
  const CellWindow window{10.0, 20.0, 50.0};
  EXPECT_EQ(clamp_window(window, 100), window);
}

TEST(MapGeometry, ClampMovesBeforeItShrinks) {
  EXPECT_EQ(clamp_window({90.0, -5.0, 20.0}, 100), (CellWindow{80.0, 0.0, 20.0}));
  EXPECT_EQ(clamp_window({0.0, 0.0, 500.0}, 100), fit_window(100));
  EXPECT_EQ(clamp_window({0.0, 0.0, 0.001}, 100).extent, least_extent);
}

TEST(MapGeometry, ClampSurvivesMapsSmallerThanTheLeastExtent) {
  for (const convbasis::Index n : {1, 2, 3}) EXPECT_EQ(clamp_window({5.0, 5.0, 0.1}, n), fit_window(n));
}

TEST(MapGeometry, ClampTurnsNanIntoTheWholeMap) {
  EXPECT_EQ(clamp_window({std::nan(""), 0.0, 10.0}, 100), fit_window(100));
  EXPECT_EQ(clamp_window({0.0, 0.0, std::nan("")}, 100), fit_window(100));
}

TEST(MapGeometry, PanMovesAndStopsAtTheEdge) {
  EXPECT_EQ(panned({10.0, 10.0, 50.0}, 5.0, -3.0, 100), (CellWindow{15.0, 7.0, 50.0}));
  EXPECT_EQ(panned({10.0, 10.0, 50.0}, 500.0, -500.0, 100), (CellWindow{50.0, 0.0, 50.0}));
}

TEST(MapGeometry, ZoomKeepsThePointUnderTheCursor) {
  const CellWindow before{100.0, 200.0, 400.0};
  const double row = 180.0;
  const double column = 450.0;
  const CellWindow after = zoomed(before, 2.0, row, column, 1000);
  EXPECT_DOUBLE_EQ(after.extent, 200.0);
  EXPECT_DOUBLE_EQ((row - after.row) / after.extent, (row - before.row) / before.extent);
  EXPECT_DOUBLE_EQ((column - after.column) / after.extent, (column - before.column) / before.extent);
}

TEST(MapGeometry, ZoomAtTheLeastExtentDoesNotDrift) {
  const CellWindow closest = clamp_window({30.0, 40.0, least_extent}, 100);
  EXPECT_EQ(zoomed(closest, 2.0, 31.0, 43.0, 100), closest);
}

TEST(MapGeometry, AnyWalkStaysInBounds) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> unit(0.0, 1.0);
  for (const convbasis::Index n : {1, 3, 5, 256, 32768, 1000003}) {
    CellWindow window = fit_window(n);
    for (int step = 0; step < 500; ++step) {
      const double row = window.row + unit(random) * window.extent;
      const double column = window.column + unit(random) * window.extent;
      window = unit(random) < 0.5 ? zoomed(window, std::exp(2.0 * unit(random) - 1.0), row, column, n)
                                  : panned(window, (unit(random) - 0.5) * window.extent, (unit(random) - 0.5) * window.extent, n);
      expect_in_bounds(window, n);
    }
  }
}

TEST(MapGeometry, CentreShowsTheCellInTheMiddle) {
  const CellWindow window = centred_on({0.0, 0.0, 21.0}, {500, 300}, 1000);
  EXPECT_DOUBLE_EQ(window.row, 490.0);
  EXPECT_DOUBLE_EQ(window.column, 290.0);
  expect_in_bounds(centred_on({0.0, 0.0, 21.0}, {999, 0}, 1000), 1000);
}

TEST(MapGeometry, SeenCellsHaveTheirMiddleInTheWindow) {
  EXPECT_EQ(seen_cells(0.0, 10.0, 100), (Range{0.0, 9.0}));
  EXPECT_EQ(seen_cells(2.4, 10.0, 100), (Range{2.0, 11.0}));
  EXPECT_EQ(seen_cells(2.6, 10.0, 100), (Range{3.0, 12.0}));
  EXPECT_EQ(seen_cells(90.0, 10.0, 100), (Range{90.0, 99.0}));
}

}  // namespace
}  // namespace convscope
