#include "window/theme.h"

#include "window/font_data.h"

#include <imgui.h>
#include <imgui_internal.h>
#include <implot.h>

#include <array>
#include <cstdint>
#include <span>

namespace convscope {

namespace {

constexpr float text_size = 15.0F;  // pixels at scale 1

void add_font(std::span<const unsigned char> data, ImFontConfig config) {
  config.FontDataOwnedByAtlas = false;
  // The atlas only reads the bytes, but takes a pointer to non-const.
  ImGui::GetIO().Fonts->AddFontFromMemoryTTF(const_cast<unsigned char*>(data.data()), static_cast<int>(data.size()),
                                             config.SizePixels, &config);
}

void add_font(std::span<const unsigned char> data, bool merge) {
  ImFontConfig config;
  config.MergeMode = merge;
  config.SizePixels = text_size;
  add_font(data, config);
}

// Few fonts have the letters among the small figures; they are the usual letters, drawn small and lower or higher.
struct SmallLetter {
  ImWchar small, usual;
};
constexpr std::array<SmallLetter, 10> lower_letters{{{0x2096, 'k'},
                                                     {0x1d62, 'i'},
                                                     {0x2c7c, 'j'},
                                                     {0x2099, 'n'},
                                                     {0x1d63, 'r'},
                                                     {0x209b, 's'},
                                                     {0x2098, 'm'},
                                                     {0x2097, 'l'},
                                                     {0x209c, 't'},
                                                     {0x209a, 'p'}}};
constexpr std::array<SmallLetter, 1> upper_letters{{{0x1d40, 'T'}}};

/// A loader of TrueType glyphs that knows only the small letters of `letters`.
template <const auto& letters>
const ImFontLoader* small_letter_loader() {
  static const ImFontLoader loader = [] {
    ImFontLoader changed = *ImFontAtlasGetFontLoaderForStbTruetype();
    changed.Name = "small letters";
    changed.FontSrcGetGlyphIndexFromCodepoint = [](ImFontAtlas* atlas, ImFontConfig* source, ImWchar letter) {
      for (const SmallLetter& known : letters) {
        if (known.small != letter) continue;
        return ImFontAtlasGetFontLoaderForStbTruetype()->FontSrcGetGlyphIndexFromCodepoint(atlas, source, known.usual);
      }
      return 0;
    };
    return changed;
  }();
  return &loader;
}

void merge_small_letters(std::span<const unsigned char> data) {
  ImFontConfig config;
  config.MergeMode = true;
  config.SizePixels = 0.7F * text_size;
  config.FontLoader = small_letter_loader<lower_letters>();
  config.GlyphOffset.y = 0.16F * text_size;
  add_font(data, config);
  config.FontLoader = small_letter_loader<upper_letters>();
  config.GlyphOffset.y = -0.3F * text_size;
  add_font(data, config);
}

ImVec4 hex(std::uint32_t rgb, float alpha = 1.0F) {
  const auto part = [&](unsigned shift) { return static_cast<float>(rgb >> shift & 255U) / 255.0F; };
  return {part(16U), part(8U), part(0U), alpha};
}

/// The few colours that everything else is made of.
struct Surfaces {
  std::uint32_t background, panel, raised, hovered, pressed, border, text, dimmed, accent, grab;
};

constexpr Surfaces dark{.background = 0x121316,
                        .panel = 0x1e2024,
                        .raised = 0x2a2d33,
                        .hovered = 0x363a42,
                        .pressed = 0x2d5372,
                        .border = 0x33363c,
                        .text = 0xe4e6ea,
                        .dimmed = 0x969aa3,
                        .accent = 0x56b4e9,
                        .grab = 0xd8dae0};
constexpr Surfaces light{.background = 0xe4e6ea,
                         .panel = 0xfafafb,
                         .raised = 0xe9ebef,
                         .hovered = 0xdadde3,
                         .pressed = 0xb5d3ea,
                         .border = 0xc9ccd3,
                         .text = 0x1b1d21,
                         .dimmed = 0x646973,
                         .accent = 0x0060a0,
                         .grab = 0xffffff};

void colour_widgets(ImGuiStyle& style, const Surfaces& s) {
  const auto set = [&](std::initializer_list<ImGuiCol> which, const ImVec4& colour) {
    for (const ImGuiCol index : which) style.Colors[index] = colour;
  };
  set({ImGuiCol_Text, ImGuiCol_InputTextCursor}, hex(s.text));
  set({ImGuiCol_TextDisabled}, hex(s.dimmed));
  set({ImGuiCol_TextLink, ImGuiCol_PlotHistogram, ImGuiCol_CheckMark, ImGuiCol_NavCursor, ImGuiCol_DragDropTarget},
      hex(s.accent));
  set({ImGuiCol_WindowBg}, hex(s.panel));
  set({ImGuiCol_PopupBg}, hex(s.panel, 0.98F));
  set({ImGuiCol_ChildBg, ImGuiCol_TableRowBg, ImGuiCol_TableRowBgAlt}, hex(s.panel, 0.0F));
  set({ImGuiCol_MenuBarBg, ImGuiCol_DockingEmptyBg}, hex(s.background));
  set({ImGuiCol_Border, ImGuiCol_Separator, ImGuiCol_TableBorderStrong, ImGuiCol_TableBorderLight}, hex(s.border));
  set({ImGuiCol_SeparatorHovered, ImGuiCol_SeparatorActive, ImGuiCol_ResizeGripHovered, ImGuiCol_ResizeGripActive},
      hex(s.accent, 0.6F));
  set({ImGuiCol_ResizeGrip}, hex(s.border, 0.0F));
  set({ImGuiCol_FrameBg, ImGuiCol_Button, ImGuiCol_Header}, hex(s.raised));
  set({ImGuiCol_FrameBgHovered, ImGuiCol_ButtonHovered, ImGuiCol_HeaderHovered}, hex(s.hovered));
  set({ImGuiCol_FrameBgActive, ImGuiCol_ButtonActive, ImGuiCol_HeaderActive, ImGuiCol_TextSelectedBg,
       ImGuiCol_CheckboxSelectedBg},
      hex(s.pressed));
  set({ImGuiCol_ScrollbarBg}, hex(s.panel, 0.0F));
  set({ImGuiCol_ScrollbarGrab}, hex(s.hovered));
  set({ImGuiCol_ScrollbarGrabHovered, ImGuiCol_ScrollbarGrabActive}, hex(s.dimmed));
  set({ImGuiCol_SliderGrab}, hex(s.grab));
  set({ImGuiCol_SliderGrabActive}, hex(s.grab == 0xffffff ? 0xf0f2f5 : 0xffffff));
  // A panel and its tab are one surface, so a row of tabs reads as titles.
  set({ImGuiCol_TitleBg, ImGuiCol_TitleBgActive, ImGuiCol_TitleBgCollapsed, ImGuiCol_TabSelected, ImGuiCol_TabDimmedSelected},
      hex(s.panel));
  set({ImGuiCol_Tab, ImGuiCol_TabDimmed}, hex(s.background, 0.5F));
  set({ImGuiCol_TabHovered}, hex(s.raised));
  set({ImGuiCol_TabSelectedOverline, ImGuiCol_TabDimmedSelectedOverline}, hex(s.panel, 0.0F));
  set({ImGuiCol_DockingPreview}, hex(s.accent, 0.4F));
  set({ImGuiCol_TableHeaderBg}, hex(s.panel));
  set({ImGuiCol_ModalWindowDimBg, ImGuiCol_NavWindowingDimBg}, hex(s.background, 0.6F));
}

void size_widgets(ImGuiStyle& style) {
  style.WindowPadding = {10.0F, 8.0F};
  style.FramePadding = {8.0F, 4.0F};
  style.ItemSpacing = {8.0F, 6.0F};
  style.CellPadding = {4.0F, 2.0F};
  style.WindowRounding = style.ChildRounding = style.FrameRounding = style.PopupRounding = style.TabRounding =
      style.GrabRounding = 4.0F;
  style.ScrollbarSize = 10.0F;
  style.WindowBorderSize = style.PopupBorderSize = 1.0F;
  style.FrameBorderSize = style.TabBorderSize = style.TabBarBorderSize = style.TabBarOverlineSize = 0.0F;
  style.DockingSeparatorSize = 6.0F;
  style.WindowMenuButtonPosition = ImGuiDir_None;
  style.HoverDelayNormal = 0.5F;
}

void apply_to_plots(const Surfaces& s, float scale) {
  ImPlotStyle style;
  style.Colors[ImPlotCol_FrameBg] = hex(s.panel, 0.0F);
  style.Colors[ImPlotCol_PlotBg] = hex(s.panel, 0.0F);
  style.Colors[ImPlotCol_PlotBorder] = hex(s.border);
  style.Colors[ImPlotCol_AxisText] = hex(s.dimmed);
  style.Colors[ImPlotCol_AxisGrid] = hex(s.border, 0.7F);
  style.Colors[ImPlotCol_AxisTick] = hex(s.border);
  style.Colors[ImPlotCol_AxisBgHovered] = hex(s.raised);
  style.Colors[ImPlotCol_AxisBgActive] = hex(s.hovered);
  style.Colors[ImPlotCol_LegendBg] = hex(s.panel, 0.9F);
  style.Colors[ImPlotCol_LegendText] = hex(s.text);
  style.PlotMinSize = {120.0F * scale, 90.0F * scale};
  style.PlotPadding = {12.0F * scale, 6.0F * scale};
  style.LabelPadding = {5.0F * scale, 4.0F * scale};
  style.LegendPadding = {6.0F * scale, 6.0F * scale};
  style.LegendInnerPadding = {4.0F * scale, 3.0F * scale};
  style.LegendSpacing = {10.0F * scale, 2.0F * scale};
  style.MajorTickLen = {4.0F * scale, 4.0F * scale};
  style.MinorTickLen = {2.0F * scale, 2.0F * scale};
  ImPlot::GetStyle() = style;
}

}  // namespace

void load_fonts() {
  // Roboto has no arrows and few mathematical signs, Inconsolata no Greek letters: each fills the gaps of the other.
  add_font(text_font_data, false);
  add_font(mono_font_data, true);
  merge_small_letters(text_font_data);
  add_font(mono_font_data, false);
  add_font(text_font_data, true);
  merge_small_letters(mono_font_data);
  add_font(bold_font_data, false);
  add_font(mono_font_data, true);
  merge_small_letters(bold_font_data);
}

void apply_theme(Theme theme, double ui_scale, double display_scale) {
  const Surfaces& surfaces = theme == Theme::dark ? dark : light;
  const auto scale = static_cast<float>(ui_scale * display_scale);
  ImGuiStyle style;
  colour_widgets(style, surfaces);
  size_widgets(style);
  style.ScaleAllSizes(scale);
  style.FontSizeBase = text_size;
  style.FontScaleMain = static_cast<float>(ui_scale);
  style.FontScaleDpi = static_cast<float>(display_scale);
  ImGui::GetStyle() = style;
  apply_to_plots(surfaces, scale);
}

}  // namespace convscope
