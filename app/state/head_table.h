/// \file
/// The table of a model's heads: columns, order, filter, and the text of every cell. No window in here.
#pragma once

#include "state/head_survey.h"
#include "view/row_filter.h"

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

enum class HeadColumn : std::uint8_t {
  layer,
  head,
  error,           ///< of Recover
  k_for_target,    ///< of Recover
  rank_one,        ///< the ladder's error there
  one_lag_vector,  ///< likewise
  lag_vectors,     ///< likewise, with as many as k says
  rung,            ///< the first of the ladder that reaches the target error
  entropy,
  sink,
  band,
  best  ///< whichever of Recover and the ladder has the lowest error
};
inline constexpr std::size_t head_column_count = 12;
/// In the order in which they stand.
inline constexpr std::array<HeadColumn, head_column_count> head_columns{
    HeadColumn::layer,    HeadColumn::head,           HeadColumn::error,       HeadColumn::k_for_target,
    HeadColumn::rank_one, HeadColumn::one_lag_vector, HeadColumn::lag_vectors, HeadColumn::rung,
    HeadColumn::entropy,  HeadColumn::sink,           HeadColumn::band,        HeadColumn::best};

/// Columns that come from the ladder; those of words rather than numbers.
bool is_of_ladder(HeadColumn column);
bool is_of_words(HeadColumn column);

/// What is said of a column, with the figures of `options` in it: "k for 5 %".
std::string head_column_title(HeadColumn column, const SurveyOptions& options);
std::string head_column_help(HeadColumn column, const SurveyOptions& options);

/// The rungs of a ladder without yardsticks, by their place, which begins with 1: "rank one" is the fourth.
inline constexpr std::size_t rung_count = 6;
std::string_view rung_name(std::size_t place);

struct HeadRow {
  Index layer = 0;
  Index head = 0;
  SurveyedHead known;
};

/// One row for each head of the survey's source, by layer and head, whether or not it is known.
std::vector<HeadRow> head_rows(const HeadSurvey& survey);

/// The number in a cell, for order, filter and colour: NaN where it is not known, infinity for a k or a rung that was not
/// found; for `rung` its place in the ladder, for `best` the lowest error.
double head_value(const HeadRow& row, HeadColumn column);
/// As people read it, three significant digits; "–" where it is not known.
std::string head_text(const HeadRow& row, HeadColumn column);
/// True while the number belongs to an earlier k, band or columns.
bool head_stale(const HeadRow& row, HeadColumn column);
/// The median of the known numbers of a column: NaN of none; of an even number the mean of the middle two, but for a rung the
/// lower one. Cost O(rows).
double head_median(std::span<const HeadRow> rows, HeadColumn column);
/// It as a cell has it, empty for columns that have no sensible one, and in a sentence: "Median over 270 heads: 0.0845."
std::string head_median_text(std::span<const HeadRow> rows, HeadColumn column);
std::string head_median_help(std::span<const HeadRow> rows, HeadColumn column);
/// All that is known about a head, line by line.
std::string head_details(const HeadRow& row);

struct HeadOrder {
  HeadColumn column = HeadColumn::layer;
  bool ascending = true;
};
/// By the first of `orders`, equals by the next; unknown values last either way, and what is still equal by layer and head.
void sort_heads(std::vector<HeadRow>& rows, std::span<const HeadOrder> orders);

/// A filter on these columns: "layer 3", "error<0.2", "sink > 50%", "k<=16", "rung = rank one".
ParsedFilter parse_head_filter(std::string_view text);
bool passes(const RowFilter& filter, const HeadRow& row);

/// The rows as text with a line of titles; numbers with all their digits, empty where not known. CSV per RFC 4180, after
/// `remarks` as lines that begin with "# "; TSV as spreadsheets take it from the clipboard.
std::string heads_csv(std::span<const HeadRow> rows, std::span<const std::string> remarks = {});
std::string heads_tsv(std::span<const HeadRow> rows);

}  // namespace convscope
