/// \file
/// The values behind the pictures, as files: CSV (a "# " line of provenance, a line of names, numbers that read back to the very
/// same float) or npy. Every file is written beside its target and renamed: nothing is ever half-written.
///
/// All functions may run on any thread. They throw FileError when the file cannot be written, InvalidArgument when the region is
/// too large or does not exist, Cancelled; the target is then untouched.
#pragma once

#include "analysis/head_analysis.h"
#include "analysis/map_tile.h"
#include "core/run_context.h"
#include "view/map_geometry.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

using convbasis::Index;

enum class ValueFormat : std::uint8_t { csv, npy };

/// Where to write, and what the file says about itself.
struct ValueFile {
  std::filesystem::path path;
  ValueFormat format = ValueFormat::csv;
  std::string provenance;  ///< one line; npy has no place for it
};

/// A piece of a map: pixels [row, row + rows) x [column, column + columns) of a zoom level; at level 0 a pixel is a cell.
struct MapRegion {
  int level = 0;
  Index row = 0, column = 0, rows = 0, columns = 0;
  bool operator==(const MapRegion&) const = default;
};

/// More than this many pixels a side are refused: 4096 x 4096 numbers are 64 MiB as npy and about 700 MB as CSV.
inline constexpr Index largest_region_side = 4096;
/// More numbers than this are refused as CSV; npy has no such limit.
inline constexpr Index most_csv_numbers = Index{1} << 24U;

/// The pixels of `level` that the window shows of an n x n map.
MapRegion region_of(const CellWindow& window, int level, Index n);
/// The finest level at which what the window shows can be written.
int finest_level_for_values(const CellWindow& window, Index n);

/// One or more of the maps over a region: CSV with row and column of the pixel's first cell and a value for each of `kinds` in
/// each pixel that is not masked; npy with a rows x columns float32 matrix of the one kind, NaN where masked (above the
/// diagonal). Cost: that of the tiles.
void write_map_values(const ValueFile& file, const convbasis::HeadAnalysis<float>& analysis,
                      const std::vector<convbasis::MapKind>& kinds, convbasis::MapQuantity quantity, convbasis::Pooling pooling,
                      const MapRegion& region, const convbasis::RunContext& context = {});

/// The lag vectors u_r in scores: one row for each lag, one column for each segment; where a vector has ended, nothing (CSV) or
/// NaN (npy, n x k float32).
void write_lag_vectors(const ValueFile& file, const convbasis::ConvBasis<float>& basis,
                       const convbasis::RunContext& context = {});

/// The factors of an SVD, n x 2k: U and V Sigma, largest singular value first, side by side, one row for each token.
void write_factors(const ValueFile& file, const convbasis::MatrixFactors<float>& factors,
                   const convbasis::RunContext& context = {});

/// CSV only: segment, start, end, extent.
void write_starts(const ValueFile& file, const convbasis::ConvBasis<float>& basis);

/// CSV only: the errors of the rows whose exact result is known; the total variation where it was looked at.
void write_row_errors(const ValueFile& file, const convbasis::ErrorReport& error, const convbasis::RunContext& context = {});

/// A matrix with one row for each token, such as Y or Y~. `rows` names the tokens; empty: 0, 1, 2, ...
void write_matrix(const ValueFile& file, const convbasis::Matrix<float>& matrix, const std::vector<Index>& rows = {},
                  const convbasis::RunContext& context = {});

/// A table of text and numbers, such as a runtime curve or the errors of all heads. CSV only; cells are quoted where needed.
struct ValueTable {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};
void write_table(const ValueFile& file, const ValueTable& table);

}  // namespace convscope
