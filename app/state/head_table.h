/// \file
/// The table of a model's heads: columns, order, filter, and the text of every cell. No window in here.
#pragma once

#include "state/head_survey.h"
#include "view/row_filter.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace convscope {

enum class HeadColumn : std::uint8_t { layer, head, error, k_for_target, entropy, sink, band, best };
inline constexpr std::size_t head_column_count = 8;

/// What is said of a column, with the figures of `options` in it: "k for 5 %".
std::string head_column_title(HeadColumn column, const convbasis::HeadSummaryOptions& options);
std::string head_column_help(HeadColumn column, const convbasis::HeadSummaryOptions& options);

struct HeadRow {
  Index layer = 0;
  Index head = 0;
  SurveyedHead known;
};

/// One row for each head of the survey's source, by layer and head, whether or not it is known.
std::vector<HeadRow> head_rows(const HeadSurvey& survey);

/// The number in a cell, for order, filter and colour: NaN where it is not known, infinity for a k that was not found; for `best`
/// the error at k.
double head_value(const HeadRow& row, HeadColumn column);
/// As people read it, three significant digits; "–" where it is not known.
std::string head_text(const HeadRow& row, HeadColumn column);
/// All that is known about a head, line by line.
std::string head_details(const HeadRow& row);

struct HeadOrder {
  HeadColumn column = HeadColumn::layer;
  bool ascending = true;
};
/// By the first of `orders`, equals by the next; unknown values last either way, and what is still equal by layer and head.
void sort_heads(std::vector<HeadRow>& rows, std::span<const HeadOrder> orders);

/// A filter on these columns: "layer 3", "error<0.2", "sink > 50%", "k<=16".
ParsedFilter parse_head_filter(std::string_view text);
bool passes(const RowFilter& filter, const HeadRow& row);

/// The rows as text with a line of titles; numbers with all their digits, empty where not known. CSV per RFC 4180, after
/// `remarks` as lines that begin with "# "; TSV as spreadsheets take it from the clipboard.
std::string heads_csv(std::span<const HeadRow> rows, std::span<const std::string> remarks = {});
std::string heads_tsv(std::span<const HeadRow> rows);

}  // namespace convscope
