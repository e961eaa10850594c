// Values as files, read back by readers that know nothing of the writers.
#include "state/export_values.h"

#include "core/errors.h"
#include "gui/support/export_fixture.h"
#include "state/html_report.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace convscope {
namespace {

namespace fs = std::filesystem;
using convbasis::MapKind;
using convbasis::MapQuantity;
using convbasis::Pooling;
using testing::HasSubstr;

class ExportValuesTest : public ExportTest {};

TEST_F(ExportValuesTest, MapValuesAsCsvAreThoseOfTheEngine) {
  // Across the border of tiles, with a corner above the diagonal.
  const MapRegion region{.level = 0, .row = 250, .column = 240, .rows = 20, .columns = 30};
  write_map_values(csv("map.csv"), analysis(), {MapKind::exact, MapKind::approximation, MapKind::residual},
                   MapQuantity::probability, Pooling::mean, region);
  const Csv read = read_csv(folder_ / "map.csv");
  EXPECT_EQ(read.comments.front(), "# " + provenance_line(provenance_of(result_)));
  EXPECT_THAT(read.names, testing::ElementsAre("row", "column", "exact", "approximation", "residual"));
  std::size_t at = 0;
  for (Index row = 250; row < 270; ++row) {
    for (Index column = 240; column < std::min<Index>(270, row + 1); ++column, ++at) {
      ASSERT_LT(at, read.rows.size());
      const auto& cells = read.rows[at];
      ASSERT_EQ(cells.size(), 5U);
      EXPECT_EQ(std::stol(cells[0]), row);
      EXPECT_EQ(std::stol(cells[1]), column);
      const auto cell = convbasis::map_cell(analysis(), row, column);
      EXPECT_NEAR(std::stod(cells[2]), cell.exact_probability, 1e-6);
      EXPECT_NEAR(std::stod(cells[3]), cell.approximate_probability, 1e-6);
      EXPECT_NEAR(std::stod(cells[4]), cell.exact_probability - cell.approximate_probability, 1e-6);
    }
  }
  EXPECT_EQ(at, read.rows.size());
}

TEST_F(ExportValuesTest, MapValuesAsNpyAreTheTiles) {
  for (const int level : {0, 1}) {
    const Index side = level == 0 ? 300 : 150;
    const MapRegion region{.level = level, .row = 0, .column = 0, .rows = side, .columns = side};
    write_map_values(npy("map.npy"), analysis(), {MapKind::residual}, MapQuantity::score, Pooling::mean, region);
    const NpyArray read = read_npy(folder_ / "map.npy");
    ASSERT_EQ(read.rows, static_cast<std::size_t>(side));
    ASSERT_EQ(read.columns, static_cast<std::size_t>(side));
    std::map<std::pair<Index, Index>, convbasis::MapTile> tiles;
    for (Index row = 0; row < side; ++row) {
      for (Index column = 0; column < side; ++column) {
        const float value = read.at(row, column);
        if (column > row) {
          ASSERT_TRUE(std::isnan(value)) << row << ", " << column;
          continue;
        }
        auto& tile = tiles[{row / 256, column / 256}];
        if (tile.empty()) {
          tile = convbasis::compute_map_tile(
              analysis(), {MapKind::residual, MapQuantity::score, Pooling::mean, level, 1, row / 256, column / 256});
        }
        ASSERT_EQ(value, tile[static_cast<std::size_t>(row % 256 * 256 + column % 256)]) << row << ", " << column;
      }
    }
  }
}

TEST_F(ExportValuesTest, RegionsThatDoNotFitAreRefused) {
  const auto refused = [&](const MapRegion& region, const std::string& words) {
    try {
      write_map_values(npy("map.npy"), analysis(), {MapKind::exact}, MapQuantity::score, Pooling::mean, region);
      ADD_FAILURE() << "accepted " << words;
    } catch (const convbasis::InvalidArgument& error) {
      EXPECT_THAT(error.what(), HasSubstr(words));
    }
  };
  refused({.level = 0, .row = 0, .column = 0, .rows = 301, .columns = 1}, "300 x 300");
  refused({.level = 0, .row = -1, .column = 0, .rows = 1, .columns = 1}, "300 x 300");
  refused({.level = 0, .row = 0, .column = 299, .rows = 1, .columns = 2}, "300 x 300");
  refused({.level = 0, .row = 0, .column = 0, .rows = 0, .columns = 1}, "300 x 300");
  refused({.level = 2, .row = 0, .column = 0, .rows = 1, .columns = 1}, "levels 0 to 1");
  EXPECT_TRUE(names().empty());
}

TEST_F(ExportValuesTest, TheLimitIsNamed) {
  // The engine is not asked for anything when the region is refused, so n may be pretended.
  auto large = analysis();
  large.n = 5000;
  const MapRegion region{.level = 0, .row = 0, .column = 0, .rows = 4097, .columns = 10};
  try {
    write_map_values(csv("map.csv"), large, {MapKind::exact}, MapQuantity::score, Pooling::mean, region);
    FAIL() << "accepted";
  } catch (const convbasis::InvalidArgument& error) {
    EXPECT_THAT(error.what(), HasSubstr("4096 x 4096"));
    EXPECT_THAT(error.what(), HasSubstr("level"));
  }
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(finest_level_for_values(fit_window(4096), 4096), 0);
  EXPECT_EQ(finest_level_for_values(fit_window(4097), 4097), 1);
  EXPECT_EQ(finest_level_for_values(fit_window(1), 1), 0);
  EXPECT_EQ(finest_level_for_values({10.0, 0.0, 100.0}, 1'000'000), 0);
}

TEST_F(ExportValuesTest, TheRegionIsWhatTheWindowTouches) {
  EXPECT_EQ(region_of(fit_window(300), 0, 300), (MapRegion{0, 0, 0, 300, 300}));
  EXPECT_EQ(region_of(fit_window(300), 1, 300), (MapRegion{1, 0, 0, 150, 150}));
  EXPECT_EQ(region_of(fit_window(301), 1, 301), (MapRegion{1, 0, 0, 151, 151}));
  EXPECT_EQ(region_of({9.5, 3.25, 10.0}, 0, 300), (MapRegion{0, 9, 3, 11, 11}));
  EXPECT_EQ(region_of({9.5, 3.25, 10.0}, 1, 300), (MapRegion{1, 4, 1, 6, 6}));
  EXPECT_EQ(region_of(fit_window(1), 0, 1), (MapRegion{0, 0, 0, 1, 1}));
}

TEST_F(ExportValuesTest, LagVectorsReadBack) {
  const auto& basis = analysis().recovery.basis;
  ASSERT_EQ(basis.count(), 4);
  write_lag_vectors(csv("u.csv"), basis);
  write_lag_vectors(npy("u.npy"), basis);
  const Csv read = read_csv(folder_ / "u.csv");
  const NpyArray array = read_npy(folder_ / "u.npy");
  EXPECT_THAT(read.names, testing::ElementsAre("lag", "u_1", "u_2", "u_3", "u_4"));
  ASSERT_EQ(read.rows.size(), 300U);
  ASSERT_EQ(array.rows, 300U);
  ASSERT_EQ(array.columns, 4U);
  for (Index lag = 0; lag < 300; ++lag) {
    const auto& cells = read.rows[static_cast<std::size_t>(lag)];
    ASSERT_EQ(cells.size(), 5U);
    EXPECT_EQ(std::stol(cells[0]), lag);
    for (Index r = 0; r < 4; ++r) {
      const std::string& text = cells[static_cast<std::size_t>(r) + 1];
      if (lag >= basis.extent(r)) {
        EXPECT_EQ(text, "");
        EXPECT_TRUE(std::isnan(array.at(lag, r)));
        continue;
      }
      const float value = basis.lag_vector(r)[static_cast<std::size_t>(lag)];
      EXPECT_TRUE(same_float(text, value)) << text;
      EXPECT_EQ(array.at(lag, r), value);
    }
  }
}

TEST_F(ExportValuesTest, StartsErrorsAndOutputsReadBack) {
  write_starts(csv("starts.csv"), analysis().recovery.basis);
  const Csv starts = read_csv(folder_ / "starts.csv");
  ASSERT_EQ(starts.rows.size(), 4U);
  for (Index r = 0; r < 4; ++r) {
    EXPECT_EQ(std::stol(starts.rows[static_cast<std::size_t>(r)][1]), analysis().recovery.basis.start(r));
    EXPECT_EQ(std::stol(starts.rows[static_cast<std::size_t>(r)][3]), analysis().recovery.basis.extent(r));
  }
  convbasis::ErrorReport error = analysis().error;
  error.row_error[2] = std::numeric_limits<double>::quiet_NaN();
  error.row_total_variation_index = {0, 7, 299};
  error.row_total_variation = {0.5, 0.125, 0.1};
  convbasis::ErrorReport some = error;
  some.row_error_index = {5, 7, 20};
  some.row_error = {1.0, 2.0, 3.0};
  write_row_errors(csv("some.csv"), some);
  EXPECT_EQ(read_csv(folder_ / "some.csv").rows,
            (std::vector<std::vector<std::string>>{{"5", "1", ""}, {"7", "2", "0.125"}, {"20", "3", ""}}));
  write_row_errors(csv("rows.csv"), error);
  const Csv rows = read_csv(folder_ / "rows.csv");
  ASSERT_EQ(rows.rows.size(), 300U);
  EXPECT_EQ(rows.rows[2][1], "nan");
  EXPECT_EQ(rows.rows[1][2], "");
  EXPECT_EQ(std::stod(rows.rows[7][2]), 0.125);
  EXPECT_EQ(std::stod(rows.rows[299][2]), 0.1);
  for (std::size_t i = 3; i < 300; ++i) EXPECT_EQ(std::stod(rows.rows[i][1]), error.row_error[i]);

  write_matrix(csv("y.csv"), analysis().output);
  write_matrix(npy("y.npy"), analysis().output);
  const Csv output = read_csv(folder_ / "y.csv");
  const NpyArray array = read_npy(folder_ / "y.npy");
  ASSERT_EQ(output.rows.size(), 300U);
  ASSERT_EQ(array.columns, 5U);
  for (Index i = 0; i < 300; ++i) {
    for (Index j = 0; j < 5; ++j) {
      EXPECT_TRUE(same_float(output.rows[static_cast<std::size_t>(i)][static_cast<std::size_t>(j) + 1], analysis().output(i, j)));
      EXPECT_EQ(array.at(i, j), analysis().output(i, j));
    }
  }
  write_matrix(csv("two.csv"), analysis().output.topRows(2), {5, 9});
  EXPECT_EQ(read_csv(folder_ / "two.csv").rows[1][0], "9");
}

TEST_F(ExportValuesTest, OneTokenCanBeExported) {
  result_.request.n = result_.request.k = result_.request.T = 1;
  analyse();
  write_map_values(csv("map.csv"), analysis(), {MapKind::exact}, MapQuantity::probability, Pooling::mean,
                   region_of(fit_window(1), 0, 1));
  const Csv map = read_csv(folder_ / "map.csv");
  ASSERT_EQ(map.rows.size(), 1U);
  EXPECT_NEAR(std::stod(map.rows[0][2]), 1.0, 1e-6);
  write_lag_vectors(npy("u.npy"), analysis().recovery.basis);
  EXPECT_EQ(read_npy(folder_ / "u.npy").values.size(), 1U);
  EXPECT_THAT(html_report(result_, {}), HasSubstr("1 of 300"));
}

TEST_F(ExportValuesTest, CellsWithCommasAreQuoted) {
  write_table(csv("t.csv"), {{"name", "value"}, {{"a,b", "1"}, {"say \"x\"", "2"}, {"plain", "3"}}});
  const std::string text = contents(folder_ / "t.csv");
  EXPECT_THAT(text, testing::EndsWith("name,value\n\"a,b\",1\n\"say \"\"x\"\"\",2\nplain,3\n"));
}

TEST_F(ExportValuesTest, StoppedOrRefusedWorkLeavesNothingBehind) {
  convbasis::RunContext stopped;
  std::stop_source stop;
  stop.request_stop();
  stopped.stop = stop.get_token();
  const MapRegion all = region_of(fit_window(300), 0, 300);
  for (const auto& file : {csv("x.csv"), npy("x.npy")}) {
    EXPECT_THROW(write_map_values(file, analysis(), {MapKind::exact}, MapQuantity::score, Pooling::mean, all, stopped),
                 convbasis::Cancelled);
    EXPECT_THROW(write_lag_vectors(file, analysis().recovery.basis, stopped), convbasis::Cancelled);
    EXPECT_THROW(write_matrix(file, analysis().output, {}, stopped), convbasis::Cancelled);
  }
  EXPECT_THROW(write_starts(npy("x.npy"), analysis().recovery.basis), convbasis::InvalidArgument);
  EXPECT_TRUE(names().empty());
  const ValueFile nowhere{folder_ / "missing" / "x.csv", ValueFormat::csv, ""};
  try {
    write_starts(nowhere, analysis().recovery.basis);
    FAIL() << "wrote into a folder that does not exist";
  } catch (const convbasis::FileError& error) {
    EXPECT_THAT(error.what(), HasSubstr("missing/x.csv: cannot be written: No such file"));
  }
}

TEST_F(ExportValuesTest, AFileThatWasThereStaysWhenTheExportFails) {
  std::ofstream(folder_ / "x.csv") << "precious";
  convbasis::RunContext stopped;
  std::stop_source stop;
  stop.request_stop();
  stopped.stop = stop.get_token();
  EXPECT_THROW(write_matrix(csv("x.csv"), analysis().output, {}, stopped), convbasis::Cancelled);
  EXPECT_EQ(contents(folder_ / "x.csv"), "precious");
}

}  // namespace
}  // namespace convscope
