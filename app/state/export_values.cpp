#include "state/export_values.h"

#include "core/errors.h"
#include "data/npy_writer.h"
#include "data/replacement_file.h"
#include "view/map_tiling.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <iterator>
#include <limits>
#include <optional>

namespace convscope {

using convbasis::InvalidArgument;
using convbasis::MapKind;
using convbasis::MapTile;
using convbasis::MapTileKey;
using convbasis::Matrix;
using convbasis::ReplacementFile;
using convbasis::RunContext;

namespace {

constexpr float nothing = std::numeric_limits<float>::quiet_NaN();
constexpr Index tile_side = convbasis::map_tile_size;

/// Text on its way to a file, in pieces of a megabyte, with the stop token looked at between them.
class CsvWriter {
 public:
  CsvWriter(const ValueFile& file, const RunContext& context) : file_(file.path), context_(context) {
    if (file.format != ValueFormat::csv) throw InvalidArgument(file.path.string() + ": these values are written as CSV only");
    if (!file.provenance.empty()) text_ = fmt::format("# {}\n", file.provenance);
  }

  void text(std::string_view words) { text_ += words; }
  void integer(Index value) { fmt::format_to(std::back_inserter(text_), "{}", value); }
  /// Nine digits bring every float back, seventeen every double.
  void number(float value) { fmt::format_to(std::back_inserter(text_), ",{:.9g}", value); }
  void number(double value) { fmt::format_to(std::back_inserter(text_), ",{:.17g}", value); }
  void end_line() {
    text_ += '\n';
    if (text_.size() < most_waiting) return;
    context_.check();
    file_.write(text_);
    text_.clear();
  }
  void commit() {
    context_.check();
    file_.write(text_);
    file_.commit();
  }

 private:
  static constexpr std::size_t most_waiting = std::size_t{1} << 20U;
  ReplacementFile file_;
  RunContext context_;
  std::string text_;
};

void require_csv_size(const ValueFile& file, Index rows, Index columns) {
  if (rows <= most_csv_numbers / std::max<Index>(columns, 1)) return;
  throw InvalidArgument(fmt::format("{} x {} numbers are too many for a CSV file, which takes at most {}; write an npy file",
                                    rows, columns, most_csv_numbers) +
                        " instead of " + file.path.filename().string());
}

const char* name_of(MapKind kind) {
  constexpr std::array names{"exact", "approximation", "residual"};
  return names[static_cast<std::size_t>(kind)];
}

Index pixels_of(Index n, int level) { return ((n - 1) >> level) + 1; }

void require_region(const MapRegion& region, Index n) {
  if (region.level < 0 || region.level > convbasis::coarsest_level(n)) {
    throw InvalidArgument(fmt::format("zoom level {} does not exist: a map of {} x {} has levels 0 to {}", region.level, n, n,
                                      convbasis::coarsest_level(n)));
  }
  const Index side = pixels_of(n, region.level);
  const auto inside = [side](Index first, Index count) {
    return first >= 0 && count >= 1 && count <= side && first <= side - count;
  };
  if (!inside(region.row, region.rows) || !inside(region.column, region.columns)) {
    throw InvalidArgument(fmt::format("rows {} to {}, columns {} to {} are not within the {} x {} values of the map", region.row,
                                      region.row + region.rows - 1, region.column, region.column + region.columns - 1, side,
                                      side));
  }
  if (region.rows <= largest_region_side && region.columns <= largest_region_side) return;
  throw InvalidArgument(fmt::format("{} x {} values are too many: the limit is {} x {}; zoom in, or choose a coarser level",
                                    region.rows, region.columns, largest_region_side, largest_region_side));
}

/// The pixels of one kind in some rows of a region, fetched tile by tile.
Matrix<float> read_band(const convbasis::HeadAnalysis<float>& analysis, MapTileKey key, const MapRegion& region, Index first,
                        Index count, const RunContext& context) {
  Matrix<float> band = Matrix<float>::Constant(count, region.columns, nothing);
  key.row = first / tile_side;
  const Index end_column = region.column + region.columns;
  RunContext quiet = context;
  quiet.progress = {};
  for (key.column = region.column / tile_side; key.column * tile_side < end_column; ++key.column) {
    context.check();
    if (convbasis::is_empty(key, analysis.n)) continue;
    const MapTile tile = convbasis::compute_map_tile(analysis, key, quiet);
    const Index low = std::max(region.column, key.column * tile_side);
    const Index high = std::min(end_column, (key.column + 1) * tile_side);
    for (Index row = 0; row < count; ++row) {
      const float* line = tile.data() + (first + row - key.row * tile_side) * tile_side - key.column * tile_side;
      std::copy(line + low, line + high, band.data() + row * region.columns + (low - region.column));
    }
  }
  return band;
}

/// Calls `use(first row, one matrix for each kind)` for the rows of each row of tiles in turn.
template <class Use>
void for_each_band(const convbasis::HeadAnalysis<float>& analysis, const std::vector<MapTileKey>& keys, const MapRegion& region,
                   const RunContext& context, const Use& use) {
  const Index end = region.row + region.rows;
  for (Index first = region.row; first < end;) {
    const Index next = std::min(end, (first / tile_side + 1) * tile_side);
    std::vector<Matrix<float>> bands;
    for (const MapTileKey& key : keys) bands.push_back(read_band(analysis, key, region, first, next - first, context));
    use(first, bands);
    first = next;
    context.report("values", static_cast<double>(first - region.row) / static_cast<double>(region.rows));
  }
}

void write_pixel_line(CsvWriter& csv, const std::vector<Matrix<float>>& bands, Index row, Index column, const MapRegion& region,
                      Index first) {
  const auto value = [&](const Matrix<float>& band) { return band(row - first, column - region.column); };
  csv.integer(row << region.level);
  csv.text(",");
  csv.integer(column << region.level);
  for (const Matrix<float>& band : bands) csv.number(value(band));
  csv.end_line();
}

void write_lag_csv(const ValueFile& file, const convbasis::ConvBasis<float>& basis, const RunContext& context) {
  require_csv_size(file, basis.size(), basis.count());
  CsvWriter csv(file, context);
  csv.text("lag");
  for (Index r = 0; r < basis.count(); ++r) csv.text(fmt::format(",u_{}", r + 1));
  csv.end_line();
  const Index longest = basis.count() > 0 ? basis.extent(0) : 0;
  for (Index lag = 0; lag < longest; ++lag) {
    csv.integer(lag);
    for (Index r = 0; r < basis.count(); ++r) {
      if (lag < basis.extent(r)) {
        csv.number(basis.lag_vector(r)[static_cast<std::size_t>(lag)]);
      } else {
        csv.text(",");
      }
    }
    csv.end_line();
  }
  csv.commit();
}

void write_lag_npy(const ValueFile& file, const convbasis::ConvBasis<float>& basis, const RunContext& context) {
  const Index length = basis.count() > 0 ? basis.extent(0) : 0;
  convbasis::NpyColumnWriter<float> writer(file.path, length, basis.count());
  for (Index r = 0; r < basis.count(); ++r) {
    Matrix<float> column = Matrix<float>::Constant(length, 1, nothing);
    std::ranges::copy(basis.lag_vector(r), column.data());
    writer.append(convbasis::view(column), context);
    context.report("lag vectors", static_cast<double>(r + 1) / static_cast<double>(basis.count()));
  }
  context.check();
  writer.commit();
}

/// One line for each row of the matrix: which row, and its numbers, under `names`.
void write_named(const ValueFile& file, const Matrix<float>& matrix, const std::vector<std::string>& names,
                 const std::vector<Index>& rows, const RunContext& context) {
  context.check();
  if (file.format == ValueFormat::npy) {
    convbasis::write_npy<float>(file.path, convbasis::view(matrix));
    return;
  }
  require_csv_size(file, matrix.rows(), matrix.cols());
  CsvWriter csv(file, context);
  csv.text("row");
  for (const std::string& name : names) csv.text("," + name);
  csv.end_line();
  for (Index i = 0; i < matrix.rows(); ++i) {
    csv.integer(rows.empty() ? i : rows[static_cast<std::size_t>(i)]);
    for (Index j = 0; j < matrix.cols(); ++j) csv.number(matrix(i, j));
    csv.end_line();
  }
  csv.commit();
}

std::string quoted_cell(const std::string& cell) {
  if (cell.find_first_of(",\"\r\n") == std::string::npos) return cell;
  std::string quoted = "\"";
  for (const char c : cell) quoted.append(c == '"' ? 2 : 1, c);
  quoted += '"';
  return quoted;
}

void write_cells(CsvWriter& csv, const std::vector<std::string>& cells) {
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) csv.text(",");
    csv.text(quoted_cell(cells[i]));
  }
  csv.end_line();
}

}  // namespace

MapRegion region_of(const CellWindow& window, int level, Index n) {
  const CellWindow inside = clamp_window(window, n);
  const auto first = [&](double origin) { return static_cast<Index>(std::floor(origin)) >> level; };
  const auto end = [&](double origin) {
    return ((std::min(n, static_cast<Index>(std::ceil(origin + inside.extent))) - 1) >> level) + 1;
  };
  MapRegion region{.level = level, .row = first(inside.row), .column = first(inside.column)};
  region.rows = end(inside.row) - region.row;
  region.columns = end(inside.column) - region.column;
  return region;
}

int finest_level_for_values(const CellWindow& window, Index n) {
  const int coarsest = convbasis::coarsest_level(n);
  for (int level = 0; level < coarsest; ++level) {
    const MapRegion region = region_of(window, level, n);
    if (std::max(region.rows, region.columns) <= largest_region_side) return level;
  }
  return coarsest;
}

void write_map_values(const ValueFile& file, const convbasis::HeadAnalysis<float>& analysis, const std::vector<MapKind>& kinds,
                      convbasis::MapQuantity quantity, convbasis::Pooling pooling, const MapRegion& region,
                      const RunContext& context) {
  require_region(region, analysis.n);
  if (kinds.empty() || (file.format == ValueFormat::npy && kinds.size() != 1)) {
    throw InvalidArgument(
        fmt::format("an npy file holds the values of one map, a CSV of one to three; {} were asked for", kinds.size()));
  }
  std::vector<MapTileKey> keys;
  const Index row_step = convbasis::map_row_step(analysis, region.level);
  for (const MapKind kind : kinds) {
    keys.push_back({.kind = kind, .quantity = quantity, .pooling = pooling, .level = region.level, .row_step = row_step});
  }
  if (file.format == ValueFormat::npy) {
    Matrix<float> all(region.rows, region.columns);
    for_each_band(analysis, keys, region, context, [&](Index first, const std::vector<Matrix<float>>& bands) {
      all.middleRows(first - region.row, bands[0].rows()) = bands[0];
    });
    context.check();
    convbasis::write_npy<float>(file.path, convbasis::view(all));
    return;
  }
  CsvWriter csv(file, context);
  const std::string made = region.level == 0 ? "" : fmt::format(", {} cells", level_name(region.level, pooling));
  const std::string sampled = row_step == 1 ? "" : fmt::format(", sampled 1/{}", row_step);
  csv.text(
      fmt::format("# {}{}{}\nrow,column", quantity == convbasis::MapQuantity::score ? "score" : "probability", made, sampled));
  for (const MapKind kind : kinds) csv.text(fmt::format(",{}", name_of(kind)));
  csv.end_line();
  for_each_band(analysis, keys, region, context, [&](Index first, const std::vector<Matrix<float>>& bands) {
    for (Index row = first; row < first + bands[0].rows(); ++row) {
      const Index end = std::min(region.column + region.columns, row + 1);
      for (Index column = region.column; column < end; ++column) write_pixel_line(csv, bands, row, column, region, first);
    }
  });
  csv.commit();
}

void write_lag_vectors(const ValueFile& file, const convbasis::ConvBasis<float>& basis, const RunContext& context) {
  file.format == ValueFormat::npy ? write_lag_npy(file, basis, context) : write_lag_csv(file, basis, context);
}

void write_factors(const ValueFile& file, const convbasis::MatrixFactors<float>& factors, const RunContext& context) {
  Matrix<float> both(factors.left.rows(), factors.left.cols() + factors.right.cols());
  both << factors.left, factors.right;
  std::vector<std::string> names;
  for (const char* side : {"u", "v"}) {
    for (Index c = 0; c < factors.left.cols(); ++c) names.push_back(fmt::format("{}_{}", side, c + 1));
  }
  write_named(file, both, names, {}, context);
}

void write_starts(const ValueFile& file, const convbasis::ConvBasis<float>& basis) {
  CsvWriter csv(file, {});
  csv.text("segment,start,end,extent\n");
  for (Index r = 0; r < basis.count(); ++r) {
    csv.text(fmt::format("{},{},{},{}", r + 1, basis.start(r), basis.end(r), basis.extent(r)));
    csv.end_line();
  }
  csv.commit();
}

void write_row_errors(const ValueFile& file, const convbasis::ErrorReport& error, const RunContext& context) {
  CsvWriter csv(file, context);
  csv.text("row,output_error,total_variation\n");
  std::size_t looked_at = 0;  // of row_total_variation_index, which ascends
  const auto& with_variation = error.row_total_variation_index;
  for (std::size_t i = 0; i < error.row_error.size(); ++i) {
    const Index row = error.row_error_index[i];
    csv.integer(row);
    csv.number(error.row_error[i]);
    while (looked_at < with_variation.size() && with_variation[looked_at] < row) ++looked_at;
    if (looked_at < with_variation.size() && with_variation[looked_at] == row) {
      csv.number(error.row_total_variation[looked_at]);
    } else {
      csv.text(",");
    }
    csv.end_line();
  }
  csv.commit();
}

void write_matrix(const ValueFile& file, const Matrix<float>& matrix, const std::vector<Index>& rows, const RunContext& context) {
  std::vector<std::string> names;
  for (Index j = 0; j < matrix.cols(); ++j) names.push_back(fmt::format("y_{}", j + 1));
  write_named(file, matrix, names, rows, context);
}

void write_table(const ValueFile& file, const ValueTable& table) {
  CsvWriter csv(file, {});
  write_cells(csv, table.columns);
  for (const auto& row : table.rows) write_cells(csv, row);
  csv.commit();
}

}  // namespace convscope
