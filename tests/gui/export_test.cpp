// Exports without a window: provenance, commands, values read back from their files, the report, and the runner.

#include "core/errors.h"
#include "state/export_runner.h"
#include "state/export_values.h"
#include "state/export_wish.h"
#include "state/html_report.h"
#include "state/provenance.h"
#include "state/session.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <map>
#include <string>
#include <thread>
#include <vector>

namespace convscope {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using convbasis::MapKind;
using convbasis::MapQuantity;
using convbasis::Pooling;
using testing::HasSubstr;
using testing::Not;

std::string contents(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

/// A float32 npy file of two axes, read by a reader that knows nothing of the writer's.
struct NpyArray {
  std::size_t rows = 0, columns = 0;
  bool fortran = false;
  std::vector<float> values;
  float at(Index row, Index column) const {
    const auto i = static_cast<std::size_t>(row);
    const auto j = static_cast<std::size_t>(column);
    return values.at(fortran ? j * rows + i : i * columns + j);
  }
};

NpyArray read_npy(const fs::path& path) {
  const std::string bytes = contents(path);
  NpyArray array;
  if (bytes.size() < 10 || bytes.substr(1, 5) != "NUMPY") throw std::runtime_error("no npy file");
  const std::size_t start = 10 + static_cast<unsigned char>(bytes[8]) + std::size_t{256} * static_cast<unsigned char>(bytes[9]);
  const std::string header = bytes.substr(10, start - 10);
  if (header.find("'<f4'") == std::string::npos) throw std::runtime_error("no float32");
  array.fortran = header.find("'fortran_order': True") != std::string::npos;
  if (std::sscanf(header.c_str() + header.find("'shape'"), "'shape': (%zu, %zu)", &array.rows, &array.columns) != 2)
    throw std::runtime_error("no shape of two axes");
  array.values.resize(array.rows * array.columns);
  if (bytes.size() - start != array.values.size() * sizeof(float)) throw std::runtime_error("wrong length");
  std::memcpy(array.values.data(), bytes.data() + start, bytes.size() - start);
  return array;
}

/// The lines of a CSV file without its comments, split at commas.
struct Csv {
  std::vector<std::string> comments, names;
  std::vector<std::vector<std::string>> rows;
};

Csv read_csv(const fs::path& path) {
  Csv csv;
  std::ifstream stream(path);
  for (std::string line; std::getline(stream, line);) {
    if (line.starts_with("#")) {
      csv.comments.push_back(line);
      continue;
    }
    std::vector<std::string> cells;
    std::string cell;
    for (const char c : line + ",") {
      if (c != ',') {
        cell += c;
        continue;
      }
      cells.push_back(cell);
      cell.clear();
    }
    csv.names.empty() ? csv.names = cells : csv.rows.emplace_back(cells);
  }
  return csv;
}

bool same_float(const std::string& text, float value) {
  return std::isnan(value) ? text == "nan" : std::strtof(text.c_str(), nullptr) == value;
}

class ExportTest : public testing::Test {
 protected:
  void SetUp() override {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    const convbasis::PlantedOptions planted{.n = 300, .d = 16, .value_width = 5, .k = 4, .T = 4, .noise = 0.001, .seed = 7};
    result_.source = std::make_shared<const Source>(1, SourceRecipe(planted));
    result_.request = {.source = 1, .n = 300, .k = 8, .T = 4, .delta = 0.25, .eps = 0.001};
    analyse();
  }
  void TearDown() override { fs::remove_all(folder_); }

  void analyse() {
    result_.analysis = std::make_shared<const convbasis::HeadAnalysis<float>>(
        convbasis::analyze_head<float>(result_.source->load(0, 0, result_.request.n), result_.request.options()));
  }
  const convbasis::HeadAnalysis<float>& analysis() const { return *result_.analysis; }
  ValueFile csv(const std::string& name) const {
    return {folder_ / name, ValueFormat::csv, provenance_line(provenance_of(result_))};
  }
  ValueFile npy(const std::string& name) const { return {folder_ / name, ValueFormat::npy, ""}; }
  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder_)) found.push_back(entry.path().filename().string());
    return found;
  }

  // Of this test alone: ctest runs several at once.
  fs::path folder_ = fs::path(testing::TempDir()) /
                     (std::string("convscope_export_") + testing::UnitTest::GetInstance()->current_test_info()->name());
  AnalysisResult result_;
};

TEST_F(ExportTest, ShellWordsAreReadBackUnchanged) {
  EXPECT_EQ(shell_quoted("plain-1.0/file,name=x"), "plain-1.0/file,name=x");
  EXPECT_EQ(shell_quoted("two words"), "'two words'");
  EXPECT_EQ(shell_quoted(""), "''");
  EXPECT_EQ(shell_quoted("it's"), "'it'\\''s'");
  // The shell itself is the reference.
  for (const std::string word :
       {"a b", "it's \"so\"", "$HOME `id` \\ !*?[a]~", "-x", "tab\there", "line\nbreak", "\u00fcber", "&;|<>#"}) {
    std::FILE* shell = ::popen(("printf %s " + shell_quoted(word)).c_str(), "r");
    ASSERT_NE(shell, nullptr);
    std::string read(256, '\0');
    read.resize(std::fread(read.data(), 1, read.size(), shell));
    ::pclose(shell);
    EXPECT_EQ(read, word);
  }
}

TEST_F(ExportTest, TheCommandNamesEveryParameter) {
  Provenance p = provenance_of(result_);
  EXPECT_EQ(reproducing_command(p),
            "convscope analyze --planted k=4,n=300,d=16,T=4,noise=0.001,spread=1.5,seed=7,value_width=5 --k 8 --T 4 --delta 0.25 "
            "--eps 0.001 --search binary");
  p.n = 100;
  EXPECT_THAT(reproducing_command(p), HasSubstr(" --n 100 --k 8"));
  p.recipe = FilesRecipe{{"/data/my model/it's.npy", "-k.npy"}};
  p.layer = 3;
  p.head = 7;
  p.options.search = convbasis::Search::scan;
  p.options.delta = 0.1;
  const std::string command = reproducing_command(p);
  EXPECT_THAT(command, testing::StartsWith("convscope analyze '/data/my model/it'\\''s.npy' "));
  EXPECT_THAT(command, Not(HasSubstr(" -k.npy")));
  EXPECT_THAT(command, HasSubstr("/-k.npy --layer 3 --head 7 --n 100 --k 8 --T 4 --delta 0.1 --eps 0.001 --search scan"));
}

TEST_F(ExportTest, TheCommandAndTheLineOfAFitNameWhatAFitHas) {
  Provenance p = provenance_of(result_);
  p.method = Method::fit;
  p.fit_options = {.band = 12, .columns = 3};
  p.options.k = 0;
  EXPECT_THAT(reproducing_command(p), testing::EndsWith(" --method fit --k 0 --band 12 --columns 3"));
  EXPECT_THAT(provenance_line(p), HasSubstr("method fit · k 0 (found 4) · band 12 · columns 3 · float32"));
  EXPECT_THAT(provenance_line(p), Not(HasSubstr("delta")));
}

TEST_F(ExportTest, TheCommandAndTheLineOfLowRankNameItsKind) {
  result_.request.method = Method::rank;
  result_.request.k = 5;
  result_.analysis = std::make_shared<const convbasis::HeadAnalysis<float>>(
      convbasis::analyze_head_by_rank<float>(result_.source->load(0, 0, 300), result_.request.rank_options()));
  EXPECT_THAT(reproducing_command(provenance_of(result_)), testing::EndsWith(" --method rank --rank-kind svd --k 5"));
  EXPECT_THAT(provenance_line(provenance_of(result_)), HasSubstr("method rank · kind svd · k 5 · float32"));
  EXPECT_THAT(html_report(result_, {}), testing::AllOf(HasSubstr("rank, truncated SVD"), Not(HasSubstr("Segments"))));
  write_factors(npy("factors.npy"), analysis().rank->factors);
  write_factors(csv("factors.csv"), analysis().rank->factors);
  result_.request.rank_kind = convbasis::RankKind::features;
  result_.analysis = std::make_shared<const convbasis::HeadAnalysis<float>>(
      convbasis::analyze_head_by_rank<float>(result_.source->load(0, 0, 300), result_.request.rank_options()));
  EXPECT_THAT(reproducing_command(provenance_of(result_)), testing::EndsWith(" --method rank --rank-kind features --degree 2"));
  EXPECT_THAT(provenance_line(provenance_of(result_)), HasSubstr("kind features · degree 2 · features 153"));
  EXPECT_THAT(html_report(result_, {}), HasSubstr("rank, polynomial features"));
  const Csv read = read_csv(folder_ / "factors.csv");
  EXPECT_EQ(read.rows.size(), 300U);
  ASSERT_EQ(read.names.size(), 11U);
  EXPECT_EQ(read.names[1], "u_1");
  EXPECT_EQ(read.names[10], "v_5");
  const NpyArray both = read_npy(folder_ / "factors.npy");
  EXPECT_EQ(both.columns, 10U);
  EXPECT_TRUE(same_float(read.rows[299][6], both.at(299, 5)));
}

TEST_F(ExportTest, TheCommandNamesWhoIsQueryKeyAndValue) {
  Provenance p = provenance_of(result_);
  FilesRecipe files{{"/data/a.npz"}};
  files.hints.query_name = "block {L}/a";
  files.hints.key_name = "-b";
  files.hints.value_name = "c";
  files.hints.layout = "n(hd)";
  files.hints.heads = 4;
  p.recipe = files;
  EXPECT_THAT(reproducing_command(p), testing::StartsWith("convscope analyze /data/a.npz --q 'block {L}/a' --k-tensor=-b --v c "
                                                          "--layout 'n(hd)' --heads 4 --layer 0"));
  files.hints = {};
  files.hints.attention_name = "w{L}";
  files.hints.attention_kind = convbasis::AttentionKind::scores;
  p.recipe = files;
  EXPECT_THAT(reproducing_command(p), HasSubstr(" /data/a.npz --attention 'w{L}' --attention-kind scores --layer 0"));
}

TEST_F(ExportTest, TheLineIsOneLineWhateverTheFileIsCalled) {
  Provenance p = provenance_of(result_);
  p.name = "evil\nname\r\x01\x7F \xFF\xC3(\xE2\x80\xA8.npy \xCE\xB1";
  const std::string line = provenance_line(p);
  EXPECT_THAT(line, Not(testing::ContainsRegex("[\n\r\x01\x7F]")));
  EXPECT_THAT(line, HasSubstr("evil name    \xEF\xBF\xBD\xEF\xBF\xBD( .npy \xCE\xB1 "));
  for (const char* part : {"layer 0", "head 0", "n 300", "k 8 (found 4)", "T 4", "delta 0.25", "eps 0.001", "search binary",
                           "method recover", "convscope ", "seed=7"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
}

TEST_F(ExportTest, MapValuesAsCsvAreThoseOfTheEngine) {
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

TEST_F(ExportTest, MapValuesAsNpyAreTheTiles) {
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

TEST_F(ExportTest, RegionsThatDoNotFitAreRefused) {
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

TEST_F(ExportTest, TheLimitIsNamed) {
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

TEST_F(ExportTest, TheRegionIsWhatTheWindowTouches) {
  EXPECT_EQ(region_of(fit_window(300), 0, 300), (MapRegion{0, 0, 0, 300, 300}));
  EXPECT_EQ(region_of(fit_window(300), 1, 300), (MapRegion{1, 0, 0, 150, 150}));
  EXPECT_EQ(region_of(fit_window(301), 1, 301), (MapRegion{1, 0, 0, 151, 151}));
  EXPECT_EQ(region_of({9.5, 3.25, 10.0}, 0, 300), (MapRegion{0, 9, 3, 11, 11}));
  EXPECT_EQ(region_of({9.5, 3.25, 10.0}, 1, 300), (MapRegion{1, 4, 1, 6, 6}));
  EXPECT_EQ(region_of(fit_window(1), 0, 1), (MapRegion{0, 0, 0, 1, 1}));
}

TEST_F(ExportTest, LagVectorsReadBack) {
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

TEST_F(ExportTest, StartsErrorsAndOutputsReadBack) {
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

TEST_F(ExportTest, OneTokenCanBeExported) {
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

TEST_F(ExportTest, CellsWithCommasAreQuoted) {
  write_table(csv("t.csv"), {{"name", "value"}, {{"a,b", "1"}, {"say \"x\"", "2"}, {"plain", "3"}}});
  const std::string text = contents(folder_ / "t.csv");
  EXPECT_THAT(text, testing::EndsWith("name,value\n\"a,b\",1\n\"say \"\"x\"\"\",2\nplain,3\n"));
}

TEST_F(ExportTest, StoppedOrRefusedWorkLeavesNothingBehind) {
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

TEST_F(ExportTest, AFileThatWasThereStaysWhenTheExportFails) {
  std::ofstream(folder_ / "x.csv") << "precious";
  convbasis::RunContext stopped;
  std::stop_source stop;
  stop.request_stop();
  stopped.stop = stop.get_token();
  EXPECT_THROW(write_matrix(csv("x.csv"), analysis().output, {}, stopped), convbasis::Cancelled);
  EXPECT_EQ(contents(folder_ / "x.csv"), "precious");
}

TEST_F(ExportTest, NamesAreSafeAndEndAsTheirFormat) {
  Provenance p = provenance_of(result_);
  p.name = "../we ird/na<me>.safetensors";
  p.layer = 18;
  p.head = 8;
  EXPECT_EQ(suggested_name(p, {.item = ExportItem::exact_map}), "na-me--L18-H8-exact-map.png");
  p.name = "...";
  EXPECT_EQ(suggested_name(p, {.item = ExportItem::report, .format = ExportFormat::html}), "head-L18-H8-report.html");
  EXPECT_EQ(with_ending("a/b", ExportFormat::csv), "a/b.csv");
  EXPECT_EQ(with_ending("a/b.PNG", ExportFormat::png), "a/b.PNG");
  EXPECT_EQ(with_ending("a/b.png", ExportFormat::csv), "a/b.csv");
  EXPECT_EQ(with_ending("a/b-1.5", ExportFormat::npy), "a/b-1.5.npy");
  EXPECT_NE(problem_of({}), "");
  EXPECT_THAT(problem_of({.path = folder_}), HasSubstr("is a folder"));
  EXPECT_THAT(problem_of({.path = folder_ / "none" / "x.png"}), HasSubstr("does not exist"));
  EXPECT_EQ(problem_of({.path = folder_ / "x.png"}), "");
  EXPECT_EQ(problem_of({.path = "x.png"}), "");
}

TEST_F(ExportTest, Base64IsThatOfTheStandard) {
  // RFC 4648, section 10.
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
  EXPECT_EQ(base64(std::string("\xFF\x00\xFE", 3)), "/wD+");
}

TEST_F(ExportTest, TheReportEscapesWhatItDidNotWrite) {
  EXPECT_EQ(html_escaped("<script>'&\"\n\xFF"), "&lt;script&gt;&#39;&amp;&quot; \xEF\xBF\xBD");
  // A real file with a hostile name, and with hostile metadata.
  const auto path = folder_ / "<script>alert(1)<script>.safetensors";
  std::string header = R"({"__metadata__":{"model":"<img src=x onerror=alert(2)>","tokens":"[\"<script>\",\"b\",\"c\",\"d\"]"},)";
  std::size_t at = 0;
  for (const char* name : {"q", "k", "v"}) {
    header += fmt::format(R"("layers.0.{}":{{"dtype":"F32","shape":[1,4,2],"data_offsets":[{},{}]}}{})", name, at, at + 32,
                          at < 64 ? "," : "}");
    at += 32;
  }
  std::ofstream stream(path, std::ios::binary);
  const std::uint64_t length = header.size();
  stream.write(reinterpret_cast<const char*>(&length), 8);
  stream << header;
  for (int i = 0; i < 24; ++i) {
    const float value = 0.1F * static_cast<float>(i);
    stream.write(reinterpret_cast<const char*>(&value), 4);
  }
  stream.close();
  result_.source = std::make_shared<const Source>(2, SourceRecipe(FilesRecipe{{path}}));
  result_.request = {.source = 2, .n = 4, .k = 2, .T = 2};
  analyse();
  const std::string page = html_report(result_, {{"<b>picture</b>", "not a png", "", 300}});
  EXPECT_THAT(page, Not(HasSubstr("<script")));
  EXPECT_THAT(page, Not(HasSubstr("<img src=x")));
  EXPECT_THAT(page, Not(HasSubstr("<b>")));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)"));
  EXPECT_THAT(page, HasSubstr("&lt;img src=x onerror=alert(2)&gt;"));
  EXPECT_THAT(page, HasSubstr("<td>&lt;script&gt;</td>"));  // a token
  EXPECT_THAT(page, HasSubstr("data:image/png;base64,bm90IGEgcG5n"));
  EXPECT_THAT(page, HasSubstr("default-src 'none'"));
  EXPECT_THAT(page, Not(HasSubstr("http://")));
  EXPECT_THAT(page, Not(HasSubstr("https://")));
}

TEST_F(ExportTest, TheReportTellsTheNumbers) {
  const std::string page = html_report(result_, {});
  EXPECT_THAT(page, HasSubstr(html_escaped(provenance_line(provenance_of(result_)))));
  EXPECT_THAT(page, HasSubstr(html_escaped(reproducing_command(provenance_of(result_)))));
  EXPECT_THAT(page, HasSubstr(fmt::format("<td class=\"number\">{}</td>", analysis().recovery.basis.start(1))));
  EXPECT_THAT(page, HasSubstr(html_escaped(analysis().apply.path)));
}

class RunnerTest : public testing::Test {
 protected:
  ExportOutcome wait() {
    const auto deadline = std::chrono::steady_clock::now() + 60s;
    while (std::chrono::steady_clock::now() < deadline) {
      if (auto outcome = runner_.poll()) return *outcome;
      std::this_thread::sleep_for(1ms);
    }
    ADD_FAILURE() << "the export did not end";
    return {};
  }

  std::atomic<int> wakes_{0};
  ExportRunner runner_{[this] { ++wakes_; }};
};

TEST_F(RunnerTest, StepsRunInOrderAndOnTheirThreads) {
  const auto window = std::this_thread::get_id();
  std::vector<std::string> order;
  int painted = 0;
  ASSERT_TRUE(
      runner_.start({.path = "x",
                     .prepare = [&](const auto&) { order.emplace_back(std::this_thread::get_id() == window ? "?" : "prepare"); },
                     .paint =
                         [&] {
                           order.emplace_back(std::this_thread::get_id() == window ? "paint" : "?");
                           return ++painted == 3;
                         },
                     .write = [&](const auto&) { order.emplace_back(std::this_thread::get_id() == window ? "?" : "write"); }}));
  EXPECT_TRUE(runner_.busy());
  EXPECT_FALSE(runner_.start({}));
  const ExportOutcome outcome = wait();
  EXPECT_THAT(order, testing::ElementsAre("prepare", "paint", "paint", "paint", "write"));
  EXPECT_EQ(outcome.path, "x");
  EXPECT_FALSE(outcome.failure);
  EXPECT_FALSE(outcome.cancelled);
  EXPECT_FALSE(runner_.busy());
  EXPECT_GT(wakes_.load(), 3);
}

TEST_F(RunnerTest, ErrorsOfEachStepAreTold) {
  const auto broken = [](const auto&) { throw convbasis::FileError("x.png", "disk full"); };
  bool wrote = false;
  runner_.start({.path = "x", .prepare = broken, .paint = {}, .write = [&](const auto&) { wrote = true; }});
  ExportOutcome outcome = wait();
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->kind, Failure::Kind::file);
  EXPECT_EQ(outcome.failure->text, "x.png: disk full");
  runner_.start({.path = "x",
                 .prepare = {},
                 .paint = []() -> bool { throw std::runtime_error("no picture"); },
                 .write = [&](const auto&) { wrote = true; }});
  outcome = wait();
  ASSERT_TRUE(outcome.failure);
  EXPECT_EQ(outcome.failure->text, "no picture");
  EXPECT_FALSE(wrote);
  runner_.start({.path = "x", .prepare = {}, .paint = {}, .write = broken});
  EXPECT_TRUE(wait().failure);
}

TEST_F(RunnerTest, CancelStopsEachStep) {
  bool wrote = false;
  const auto until_stopped = [](const convbasis::RunContext& context) {
    while (true) {
      context.check();
      std::this_thread::sleep_for(1ms);
    }
  };
  const auto write = [&](const convbasis::RunContext&) { wrote = true; };
  runner_.start({.path = "x", .prepare = until_stopped, .paint = {}, .write = write});
  runner_.cancel();
  EXPECT_TRUE(wait().cancelled);
  runner_.start({.path = "x", .prepare = {}, .paint = [] { return false; }, .write = write});
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(runner_.poll());
    std::this_thread::sleep_for(1ms);
  }
  runner_.cancel();
  EXPECT_TRUE(wait().cancelled);
  runner_.start({.path = "x", .prepare = {}, .paint = {}, .write = until_stopped});
  for (int i = 0; i < 20; ++i) {
    EXPECT_FALSE(runner_.poll());
    std::this_thread::sleep_for(1ms);
  }
  runner_.cancel();
  EXPECT_TRUE(wait().cancelled);
  EXPECT_FALSE(wrote);
}

TEST_F(RunnerTest, EndsWhileWorkIsUnderWay) {
  runner_.start({.path = "x",
                 .prepare =
                     [](const convbasis::RunContext& context) {
                       while (true) context.check();
                     },
                 .paint = {},
                 .write = {}});
}

}  // namespace
}  // namespace convscope
