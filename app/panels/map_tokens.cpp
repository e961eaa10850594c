#include "panels/map_tokens.h"

#include "state/text.h"

#include <cmath>
#include <deque>

namespace convscope {
namespace {

struct Word {
  std::string text;
  float width = 0.0F;
};

/// A run of words around a key that fits into a given width.
struct Run {
  std::deque<Word> words;
  std::size_t first = 0;  ///< number of the first word
  std::size_t key = 0;
};

Run words_around(std::span<const std::string> tokens, std::size_t key, float room, float gap) {
  const auto word_at = [&](std::size_t index) {
    Word word{token_text(tokens[index], 16), 0.0F};
    word.width = ImGui::CalcTextSize(word.text.c_str()).x + gap;
    return word;
  };
  Run run{{word_at(key)}, key, key};
  room -= run.words.front().width;
  bool left = true;
  bool right = true;
  // Alternately, so that the key stays near the middle; a side ends with its first word that does not fit.
  while (left || right) {
    left = left && run.first > 0;
    if (left) {
      Word word = word_at(run.first - 1);
      left = word.width <= room;
      if (left) {
        room -= word.width;
        run.words.push_front(std::move(word));
        --run.first;
      }
    }
    const std::size_t next = run.first + run.words.size();
    right = right && next < tokens.size();
    if (right) {
      Word word = word_at(next);
      right = word.width <= room;
      if (right) {
        room -= word.width;
        run.words.push_back(std::move(word));
      }
    }
  }
  return run;
}

}  // namespace

void draw_token_strip(const MapLayout& layout, std::span<const std::string> tokens, std::optional<convbasis::Index> key) {
  if (!layout.strip) return;
  ImDrawList& draw = *ImGui::GetWindowDrawList();
  const ImU32 dim = ImGui::GetColorU32(ImGuiCol_TextDisabled);
  ImVec2 at{layout.map.x, layout.strip_y};
  if (!key) {
    const char* hint = tokens.empty() ? "no tokens with this input" : "point at the map to read its tokens";
    if (ImGui::CalcTextSize(hint).x <= layout.side) draw.AddText(at, dim, hint);
    return;
  }
  const auto index = static_cast<std::size_t>(*key);
  if (index >= tokens.size()) {
    draw.AddText(at, dim, ("key " + std::to_string(*key)).c_str());
    return;
  }
  const float gap = std::round(ImGui::GetFontSize() * 0.4F);
  const std::string widest = std::to_string(tokens.size());
  const float label_width = ImGui::CalcTextSize(("keys " + widest + "\u2013" + widest + ":").c_str()).x + gap;
  const Run run = words_around(tokens, index, layout.side - label_width, gap);
  const std::string label =
      "keys " + std::to_string(run.first) + "\u2013" + std::to_string(run.first + run.words.size() - 1) + ":";
  draw.AddText(at, dim, label.c_str());
  at.x += label_width;
  for (std::size_t i = 0; i < run.words.size(); ++i) {
    const bool is_key = run.first + i == run.key;
    draw.AddText({std::round(at.x), at.y}, is_key ? ImGui::GetColorU32(ImGuiCol_TextLink) : ImGui::GetColorU32(ImGuiCol_Text),
                 run.words[i].text.c_str());
    at.x += run.words[i].width;
  }
}

}  // namespace convscope
